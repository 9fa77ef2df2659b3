//! The numbers of the kernel's operations.
//!
//! Two tables, one for entries and one for `io_uring_register(2)`. A number is never reused by the kernel, so
//! they only ever grow at the end. Knowing a number here says nothing about the running kernel: ask
//! [`Probe`](crate::Probe).

macro_rules! numbers {
    ($(#[$outer:meta])* $name:ident($number:ty) { $($(#[$inner:meta])* $variant:ident = $value:literal, $text:literal;)* }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum $name { $($(#[$inner])* $variant = $value,)* }

        impl $name {
            /// All of them, in the order of their numbers.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];

            /// The name in the kernel's header.
            pub const fn name(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }

            /// The one with this number, if it is known here.
            pub const fn from_number(number: $number) -> Option<Self> {
                match number { $($value => Some($name::$variant),)* _ => None }
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                formatter.pad(self.name())
            }
        }
    };
}

numbers! {
    /// What an entry asks for (`enum io_uring_op`).
    #[repr(u8)]
    Opcode(u8) {
        /// Does nothing.
        Nop = 0, "IORING_OP_NOP";
        /// `readv(2)`, `preadv2(2)`.
        Readv = 1, "IORING_OP_READV";
        /// `writev(2)`, `pwritev2(2)`.
        Writev = 2, "IORING_OP_WRITEV";
        /// `fsync(2)`, `fdatasync(2)`.
        Fsync = 3, "IORING_OP_FSYNC";
        /// A read into a registered buffer.
        ReadFixed = 4, "IORING_OP_READ_FIXED";
        /// A write from a registered buffer.
        WriteFixed = 5, "IORING_OP_WRITE_FIXED";
        /// Waits for readiness, as `poll(2)`.
        PollAdd = 6, "IORING_OP_POLL_ADD";
        /// Removes or changes a poll.
        PollRemove = 7, "IORING_OP_POLL_REMOVE";
        /// `sync_file_range(2)`.
        SyncFileRange = 8, "IORING_OP_SYNC_FILE_RANGE";
        /// `sendmsg(2)`.
        Sendmsg = 9, "IORING_OP_SENDMSG";
        /// `recvmsg(2)`.
        Recvmsg = 10, "IORING_OP_RECVMSG";
        /// Waits for time or for a number of completions.
        Timeout = 11, "IORING_OP_TIMEOUT";
        /// Removes or changes a timeout.
        TimeoutRemove = 12, "IORING_OP_TIMEOUT_REMOVE";
        /// `accept4(2)`.
        Accept = 13, "IORING_OP_ACCEPT";
        /// Cancels other entries.
        AsyncCancel = 14, "IORING_OP_ASYNC_CANCEL";
        /// Limits the time of the entry before it.
        LinkTimeout = 15, "IORING_OP_LINK_TIMEOUT";
        /// `connect(2)`.
        Connect = 16, "IORING_OP_CONNECT";
        /// `fallocate(2)`.
        Fallocate = 17, "IORING_OP_FALLOCATE";
        /// `openat(2)`.
        Openat = 18, "IORING_OP_OPENAT";
        /// `close(2)`, or empties a slot.
        Close = 19, "IORING_OP_CLOSE";
        /// Changes the table of registered files.
        FilesUpdate = 20, "IORING_OP_FILES_UPDATE";
        /// `statx(2)`.
        Statx = 21, "IORING_OP_STATX";
        /// `pread(2)`.
        Read = 22, "IORING_OP_READ";
        /// `pwrite(2)`.
        Write = 23, "IORING_OP_WRITE";
        /// `posix_fadvise(2)`.
        Fadvise = 24, "IORING_OP_FADVISE";
        /// `madvise(2)`.
        Madvise = 25, "IORING_OP_MADVISE";
        /// `send(2)`.
        Send = 26, "IORING_OP_SEND";
        /// `recv(2)`.
        Recv = 27, "IORING_OP_RECV";
        /// `openat2(2)`.
        Openat2 = 28, "IORING_OP_OPENAT2";
        /// `epoll_ctl(2)`.
        EpollCtl = 29, "IORING_OP_EPOLL_CTL";
        /// `splice(2)`.
        Splice = 30, "IORING_OP_SPLICE";
        /// Gives the kernel buffers to choose from.
        ProvideBuffers = 31, "IORING_OP_PROVIDE_BUFFERS";
        /// Takes such buffers back.
        RemoveBuffers = 32, "IORING_OP_REMOVE_BUFFERS";
        /// `tee(2)`.
        Tee = 33, "IORING_OP_TEE";
        /// `shutdown(2)`.
        Shutdown = 34, "IORING_OP_SHUTDOWN";
        /// `renameat2(2)`.
        Renameat = 35, "IORING_OP_RENAMEAT";
        /// `unlinkat(2)`.
        Unlinkat = 36, "IORING_OP_UNLINKAT";
        /// `mkdirat(2)`.
        Mkdirat = 37, "IORING_OP_MKDIRAT";
        /// `symlinkat(2)`.
        Symlinkat = 38, "IORING_OP_SYMLINKAT";
        /// `linkat(2)`.
        Linkat = 39, "IORING_OP_LINKAT";
        /// Posts a completion or passes a file to another ring.
        MsgRing = 40, "IORING_OP_MSG_RING";
        /// `fsetxattr(2)`.
        Fsetxattr = 41, "IORING_OP_FSETXATTR";
        /// `setxattr(2)`.
        Setxattr = 42, "IORING_OP_SETXATTR";
        /// `fgetxattr(2)`.
        Fgetxattr = 43, "IORING_OP_FGETXATTR";
        /// `getxattr(2)`.
        Getxattr = 44, "IORING_OP_GETXATTR";
        /// `socket(2)`.
        Socket = 45, "IORING_OP_SOCKET";
        /// A command for the file's own driver.
        UringCmd = 46, "IORING_OP_URING_CMD";
        /// A send without a copy.
        SendZc = 47, "IORING_OP_SEND_ZC";
        /// A sendmsg without a copy.
        SendmsgZc = 48, "IORING_OP_SENDMSG_ZC";
        /// Reads again and again into provided buffers.
        ReadMultishot = 49, "IORING_OP_READ_MULTISHOT";
        /// `waitid(2)`.
        Waitid = 50, "IORING_OP_WAITID";
        /// `futex_wait(2)`.
        FutexWait = 51, "IORING_OP_FUTEX_WAIT";
        /// `futex_wake(2)`.
        FutexWake = 52, "IORING_OP_FUTEX_WAKE";
        /// `futex_waitv(2)`.
        FutexWaitv = 53, "IORING_OP_FUTEX_WAITV";
        /// Makes a descriptor from a slot.
        FixedFdInstall = 54, "IORING_OP_FIXED_FD_INSTALL";
        /// `ftruncate(2)`.
        Ftruncate = 55, "IORING_OP_FTRUNCATE";
        /// `bind(2)`.
        Bind = 56, "IORING_OP_BIND";
        /// `listen(2)`.
        Listen = 57, "IORING_OP_LISTEN";
        /// A receive without a copy.
        RecvZc = 58, "IORING_OP_RECV_ZC";
        /// `epoll_wait(2)`.
        EpollWait = 59, "IORING_OP_EPOLL_WAIT";
        /// A vectored read into a registered buffer.
        ReadvFixed = 60, "IORING_OP_READV_FIXED";
        /// A vectored write from a registered buffer.
        WritevFixed = 61, "IORING_OP_WRITEV_FIXED";
        /// `pipe2(2)`.
        Pipe = 62, "IORING_OP_PIPE";
        /// Does nothing, with an entry of 128 bytes.
        Nop128 = 63, "IORING_OP_NOP128";
        /// A command for the file's own driver, with an entry of 128 bytes.
        UringCmd128 = 64, "IORING_OP_URING_CMD128";
    }
}

numbers! {
    /// What `io_uring_register(2)` is asked for (`enum io_uring_register_op`).
    #[repr(u32)]
    RegisterOpcode(u32) {
        /// `IORING_REGISTER_BUFFERS`.
        Buffers = 0, "IORING_REGISTER_BUFFERS";
        /// `IORING_UNREGISTER_BUFFERS`.
        UnregisterBuffers = 1, "IORING_UNREGISTER_BUFFERS";
        /// `IORING_REGISTER_FILES`.
        Files = 2, "IORING_REGISTER_FILES";
        /// `IORING_UNREGISTER_FILES`.
        UnregisterFiles = 3, "IORING_UNREGISTER_FILES";
        /// `IORING_REGISTER_EVENTFD`.
        Eventfd = 4, "IORING_REGISTER_EVENTFD";
        /// `IORING_UNREGISTER_EVENTFD`.
        UnregisterEventfd = 5, "IORING_UNREGISTER_EVENTFD";
        /// `IORING_REGISTER_FILES_UPDATE`.
        FilesUpdate = 6, "IORING_REGISTER_FILES_UPDATE";
        /// `IORING_REGISTER_EVENTFD_ASYNC`.
        EventfdAsync = 7, "IORING_REGISTER_EVENTFD_ASYNC";
        /// `IORING_REGISTER_PROBE`.
        Probe = 8, "IORING_REGISTER_PROBE";
        /// `IORING_REGISTER_PERSONALITY`.
        Personality = 9, "IORING_REGISTER_PERSONALITY";
        /// `IORING_UNREGISTER_PERSONALITY`.
        UnregisterPersonality = 10, "IORING_UNREGISTER_PERSONALITY";
        /// `IORING_REGISTER_RESTRICTIONS`.
        Restrictions = 11, "IORING_REGISTER_RESTRICTIONS";
        /// `IORING_REGISTER_ENABLE_RINGS`.
        EnableRings = 12, "IORING_REGISTER_ENABLE_RINGS";
        /// `IORING_REGISTER_FILES2`.
        Files2 = 13, "IORING_REGISTER_FILES2";
        /// `IORING_REGISTER_FILES_UPDATE2`.
        FilesUpdate2 = 14, "IORING_REGISTER_FILES_UPDATE2";
        /// `IORING_REGISTER_BUFFERS2`.
        Buffers2 = 15, "IORING_REGISTER_BUFFERS2";
        /// `IORING_REGISTER_BUFFERS_UPDATE`.
        BuffersUpdate = 16, "IORING_REGISTER_BUFFERS_UPDATE";
        /// `IORING_REGISTER_IOWQ_AFF`.
        IowqAff = 17, "IORING_REGISTER_IOWQ_AFF";
        /// `IORING_UNREGISTER_IOWQ_AFF`.
        UnregisterIowqAff = 18, "IORING_UNREGISTER_IOWQ_AFF";
        /// `IORING_REGISTER_IOWQ_MAX_WORKERS`.
        IowqMaxWorkers = 19, "IORING_REGISTER_IOWQ_MAX_WORKERS";
        /// `IORING_REGISTER_RING_FDS`.
        RingFds = 20, "IORING_REGISTER_RING_FDS";
        /// `IORING_UNREGISTER_RING_FDS`.
        UnregisterRingFds = 21, "IORING_UNREGISTER_RING_FDS";
        /// `IORING_REGISTER_PBUF_RING`.
        PbufRing = 22, "IORING_REGISTER_PBUF_RING";
        /// `IORING_UNREGISTER_PBUF_RING`.
        UnregisterPbufRing = 23, "IORING_UNREGISTER_PBUF_RING";
        /// `IORING_REGISTER_SYNC_CANCEL`.
        SyncCancel = 24, "IORING_REGISTER_SYNC_CANCEL";
        /// `IORING_REGISTER_FILE_ALLOC_RANGE`.
        FileAllocRange = 25, "IORING_REGISTER_FILE_ALLOC_RANGE";
        /// `IORING_REGISTER_PBUF_STATUS`.
        PbufStatus = 26, "IORING_REGISTER_PBUF_STATUS";
        /// `IORING_REGISTER_NAPI`.
        Napi = 27, "IORING_REGISTER_NAPI";
        /// `IORING_UNREGISTER_NAPI`.
        UnregisterNapi = 28, "IORING_UNREGISTER_NAPI";
        /// `IORING_REGISTER_CLOCK`.
        Clock = 29, "IORING_REGISTER_CLOCK";
        /// `IORING_REGISTER_CLONE_BUFFERS`.
        CloneBuffers = 30, "IORING_REGISTER_CLONE_BUFFERS";
        /// `IORING_REGISTER_SEND_MSG_RING`.
        SendMsgRing = 31, "IORING_REGISTER_SEND_MSG_RING";
        /// `IORING_REGISTER_ZCRX_IFQ`.
        ZcrxIfq = 32, "IORING_REGISTER_ZCRX_IFQ";
        /// `IORING_REGISTER_RESIZE_RINGS`.
        ResizeRings = 33, "IORING_REGISTER_RESIZE_RINGS";
        /// `IORING_REGISTER_MEM_REGION`.
        MemRegion = 34, "IORING_REGISTER_MEM_REGION";
        /// `IORING_REGISTER_QUERY`.
        Query = 35, "IORING_REGISTER_QUERY";
        /// `IORING_REGISTER_ZCRX_CTRL`.
        ZcrxCtrl = 36, "IORING_REGISTER_ZCRX_CTRL";
        /// `IORING_REGISTER_BPF_FILTER`.
        BpfFilter = 37, "IORING_REGISTER_BPF_FILTER";
    }
}
