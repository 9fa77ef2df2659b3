//! What a chain has left behind, for those who find its result too late.

use alloc::vec::Vec;
use ouzel_ring::{Descriptor, Verb};

use crate::chain::Body;
use crate::done::Done;

impl<E> Done<E> {
    /// The descriptors that its steps have opened, connections that [`accept_many`](crate::Chain::accept_many) has taken and
    /// nobody has asked for among them. Later steps may have closed some of them again. Of a pipe's ends the second one is
    /// only there if the chain has a [`get_descriptor`](crate::Chain::get_descriptor) of it that has run: one that is a FINALLY
    /// step runs also when the chain is cancelled.
    pub fn descriptors(&self) -> Vec<Descriptor> {
        let body = &*self.chain.body;
        let mut descriptors = Vec::new();
        for (number, step) in body.steps.iter().enumerate() {
            let Some(completion) = step.completion.filter(|it| it.error == 0 && !it.was_skipped()) else {
                continue;
            };
            if body.opens(number) {
                descriptors.extend(Descriptor::from_number(completion.result));
            }
            descriptors.extend(body.received_descriptors(number, &completion));
        }
        let accepted = body.many.iter().filter(|completion| completion.op == Verb::Accept as u32);
        descriptors.extend(accepted.filter_map(|completion| Descriptor::from_number(completion.result)));
        descriptors
    }

    /// How many bytes its steps have read or received, all together; of a step in a loop it is those of the last turn, and of one
    /// that receives again and again those that nobody has taken.
    pub fn bytes_read(&self) -> u64 {
        let steps = self.chain.body.steps.iter();
        let read = steps.filter(|step| matches!(step.shape.verb(), Verb::Read | Verb::Recv | Verb::RecvMsg));
        let completions = read.filter_map(|step| step.completion).filter(|completion| completion.error == 0);
        completions.map(|completion| completion.result).sum::<u64>() + self.bytes_picked()
    }
}

impl Body {
    /// Whether a step results in a descriptor.
    pub fn opens(&self, number: usize) -> bool {
        self.steps.get(number).is_some_and(|step| match step.shape.verb() {
            Verb::Open | Verb::Socket | Verb::Accept | Verb::Pipe => true,
            // The second end of a pipe.
            Verb::Get => step.shape.needs()[0].source().is_some_and(|(_, second)| second),
            Verb::Call => self.calls.iter().any(|call| call.step == number && call.opens),
            _ => false,
        })
    }
}
