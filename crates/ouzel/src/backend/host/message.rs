//! SENDMSG and RECVMSG: pieces, an address and descriptors, in one call that does not wait.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ouzel_engine::Message;
use ouzel_ring::Errno;
use ouzel_ring::modifiers::{MAX_MESSAGE_DESCRIPTORS, MessageFlags, MessageNotes};
use rustix::cmsg_space;
use rustix::event::PollFlags;
use rustix::io;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg, sendmsg_addr,
};

use super::spans::{self, RawAddress};
use super::{Done, Need, Stop, Turn, is_ready};

/// Room for the descriptors of a message, and for what else a socket may have been told to say.
const CONTROL: usize = cmsg_space!(ScmRights(MAX_MESSAGE_DESCRIPTORS as usize)) + 512;

/// Sends a message with these descriptors.
pub(crate) fn send(
    socket: BorrowedFd<'_>,
    message: &Message,
    flags: MessageFlags,
    files: &[BorrowedFd<'_>],
) -> Turn {
    let mut how = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    how.set(SendFlags::OOB, flags.contains(MessageFlags::OUT_OF_BAND));
    how.set(SendFlags::MORE, flags.contains(MessageFlags::MORE));
    let mut space = [MaybeUninit::uninit(); CONTROL];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !files.is_empty() && !control.push(SendAncillaryMessage::ScmRights(files)) {
        return Err(Stop::Error(Errno::EINVAL));
    }
    let slices = spans::slices(message);
    let sent = loop {
        let sent = if message.address.length == 0 {
            sendmsg(socket, slices, &mut control, how)
        } else {
            sendmsg_addr(socket, &RawAddress(message.address), slices, &mut control, how)
        };
        if sent != Err(io::Errno::INTR) {
            break sent;
        }
    };
    match sent {
        Ok(count) => Ok(Done::with(count as u64)),
        // A socket without a peer is always ready to send; it is the receiver that is full.
        Err(io::Errno::AGAIN) if is_ready(socket, PollFlags::OUT) => Err(Stop::Wait(Need::While)),
        Err(io::Errno::AGAIN) => Err(Stop::Wait(Need::Subject(PollFlags::OUT))),
        Err(error) => Err(error.into()),
    }
}

/// Receives a message, and the descriptors that came with it, as many as the message has room for. The extra result is
/// that of [`Message::extra`].
pub(crate) fn receive(
    socket: BorrowedFd<'_>,
    message: &Message,
    flags: MessageFlags,
) -> Result<(Done, Vec<OwnedFd>), Stop> {
    let urgent = flags.contains(MessageFlags::OUT_OF_BAND);
    let mut how = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    how.set(RecvFlags::OOB, urgent);
    how.set(RecvFlags::PEEK, flags.contains(MessageFlags::PEEK));
    let mut space = [MaybeUninit::uninit(); CONTROL];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let got = loop {
        match recvmsg(socket.as_fd(), spans::rooms(message), &mut control, how) {
            Err(io::Errno::INTR) => {}
            Err(io::Errno::AGAIN) => {
                let events = if urgent { PollFlags::PRI } else { PollFlags::IN };
                return Err(Stop::Wait(Need::Subject(events)));
            }
            Err(error) => return Err(error.into()),
            Ok(got) => break got,
        }
    };
    let mut files = Vec::new();
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = part {
            files.extend(descriptors);
        }
    }
    let mut notes = MessageNotes::empty();
    notes.set(MessageNotes::TRUNCATED, got.flags.contains(ReturnFlags::TRUNC));
    let room = message.files as usize;
    notes.set(MessageNotes::DESCRIPTORS_LOST, files.len() > room || got.flags.contains(ReturnFlags::CTRUNC));
    // What there is no room for is closed here.
    files.truncate(room);
    let address = got.address.map_or(0, |address| spans::store_address(&message.address, &address));
    let extra = Message::extra(files.len() as u32, notes, address);
    Ok((Done { result: got.bytes as u64, extra }, files))
}
