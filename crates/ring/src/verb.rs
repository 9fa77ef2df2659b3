//! The verbs: what an entry may ask for. Numbers are part of the ABI and never change once released.

macro_rules! verbs {
    ($($(#[doc = $doc:literal])* $name:ident = $number:literal $text:literal,)*) => {
        /// The operation an entry asks for. `docs/abi.md` has a page for each.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u32)]
        pub enum Verb { $($(#[doc = $doc])* $name = $number,)* }

        impl Verb {
            /// Every verb, in the order of its number.
            pub const ALL: &'static [Verb] = &[$(Verb::$name,)*];

            /// The verb with this number.
            #[inline]
            pub const fn from_number(number: u32) -> Option<Verb> {
                match number { $($number => Some(Verb::$name),)* _ => None }
            }

            /// The name, in capitals.
            pub const fn name(self) -> &'static str {
                match self { $(Verb::$name => $text,)* }
            }
        }
    };
}

verbs! {
    /// Does nothing; with a finite timeout it sleeps that long and ends with ETIMEDOUT.
    Nop = 0 "NOP",
    /// Reads bytes from a descriptor.
    Read = 1 "READ",
    /// Writes bytes to a descriptor.
    Write = 2 "WRITE",
    /// Waits until a descriptor is ready.
    Poll = 3 "POLL",
    /// Cancels entries in flight.
    Cancel = 4 "CANCEL",
    /// Opens a file.
    Open = 5 "OPEN",
    /// Closes a descriptor.
    Close = 6 "CLOSE",
    /// Moves a descriptor's position.
    Seek = 7 "SEEK",
    /// Describes a file.
    Stat = 8 "STAT",
    /// Makes written data durable.
    Sync = 9 "SYNC",
    /// Sets a file's length.
    Truncate = 10 "TRUNCATE",
    /// Reserves or releases a file's storage.
    Allocate = 11 "ALLOCATE",
    /// Makes a directory.
    Mkdir = 12 "MKDIR",
    /// Removes a file or an empty directory.
    Remove = 13 "REMOVE",
    /// Renames a file.
    Rename = 14 "RENAME",
    /// Gives a file a second name.
    Link = 15 "LINK",
    /// Makes a symbolic link.
    Symlink = 16 "SYMLINK",
    /// Lists a directory.
    Readdir = 17 "READDIR",
    /// Copies bytes from one descriptor to another.
    Copy = 18 "COPY",
    /// Makes a pipe.
    Pipe = 19 "PIPE",
    /// Makes a socket.
    Socket = 20 "SOCKET",
    /// Gives a socket its address.
    Bind = 21 "BIND",
    /// Makes a socket accept connections.
    Listen = 22 "LISTEN",
    /// Takes a connection.
    Accept = 23 "ACCEPT",
    /// Connects a socket.
    Connect = 24 "CONNECT",
    /// Sends bytes on a socket.
    Send = 25 "SEND",
    /// Receives bytes from a socket.
    Recv = 26 "RECV",
    /// Ends one or both directions of a connection.
    Shutdown = 27 "SHUTDOWN",
    /// Waits for a time and succeeds.
    Sleep = 28 "SLEEP",
    /// Puts an argument, usually loaded from a register, into the completion's result.
    Get = 29 "GET",
    /// Sets the deadline of its own chain.
    Deadline = 30 "DEADLINE",
    /// Reads where a symbolic link points.
    Readlink = 31 "READLINK",
    /// Changes a file's permissions.
    Chmod = 32 "CHMOD",
    /// Changes a file's owner.
    Chown = 33 "CHOWN",
    /// Changes a file's times.
    Utimes = 34 "UTIMES",
    /// Makes a file of any kind.
    Mknod = 35 "MKNOD",
    /// Describes a file system.
    Statfs = 36 "STATFS",
    /// Asks whether a file may be used.
    Access = 37 "ACCESS",
    /// Reads an extended attribute.
    GetXattr = 38 "GETXATTR",
    /// Writes an extended attribute.
    SetXattr = 39 "SETXATTR",
    /// Lists extended attributes.
    ListXattr = 40 "LISTXATTR",
    /// Removes an extended attribute.
    RemoveXattr = 41 "REMOVEXATTR",
    /// Locks a range of a file.
    Lock = 42 "LOCK",
    /// Reads an option of a socket.
    GetSockopt = 43 "GETSOCKOPT",
    /// Sets an option of a socket.
    SetSockopt = 44 "SETSOCKOPT",
    /// Tells a socket's own address.
    Sockname = 45 "SOCKNAME",
    /// Tells the address of a socket's peer.
    Peername = 46 "PEERNAME",
    /// Sends a message with an address and descriptors.
    SendMsg = 47 "SENDMSG",
    /// Receives a message with its address and descriptors.
    RecvMsg = 48 "RECVMSG",
    /// Moves bytes between a pipe and a descriptor.
    Splice = 49 "SPLICE",
    /// Waits for a process.
    Wait = 50 "WAIT",
    /// Wakes another ring.
    Wake = 51 "WAKE",
    /// Waits on a word of memory, or wakes who does.
    Futex = 52 "FUTEX",
    /// Results in a constant, for a register.
    Set = 53 "SET",
    /// Adds.
    Add = 54 "ADD",
    /// Subtracts.
    Sub = 55 "SUB",
    /// Takes the smaller of two.
    Min = 56 "MIN",
    /// Takes the bits that two have in common.
    And = 57 "AND",
    /// Shifts bits.
    Shift = 58 "SHIFT",
    /// Takes a word out of a buffer.
    Load = 59 "LOAD",
    /// Goes on, stops the chain or skips members, as a condition says.
    Test = 60 "TEST",
    /// Goes back, a bounded number of times.
    Repeat = 61 "REPEAT",
    /// Runs a stored program.
    Call = 62 "CALL",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_dense_and_round_trip() {
        for (number, verb) in Verb::ALL.iter().enumerate() {
            assert_eq!(*verb as usize, number);
            assert_eq!(Verb::from_number(number as u32), Some(*verb));
        }
        assert_eq!(Verb::from_number(Verb::ALL.len() as u32), None);
        assert_eq!(Verb::from_number(u32::MAX), None);
    }
}
