//! An allocator that wipes freed memory, and a wipe of the stack: no prompt and no credential remains in a
//! VM's memory after its request, for whoever reads that memory (a core dump, a debugger).
//!
//! A value that moves as it grows leaves nothing behind either: `realloc` is `GlobalAlloc`'s own, which
//! allocates, copies, and frees the old memory.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;

/// Sizes of this many bytes or fewer are wiped word by word: calling the host's `memory.fill` would take longer.
const FEW: usize = 128;

/// Bytes of stack below a callback in which it and all that it calls may have left text: more than twice what
/// was found there.
const DEPTH: usize = 12 << 10;

/// The system's allocator with a wipe.
struct Wiping;

#[global_allocator]
static ALLOCATOR: Wiping = Wiping;

// SAFETY: all memory is the system allocator's, with the same layouts; it is wiped while it is still ours.
unsafe impl GlobalAlloc for Wiping {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller gives back `layout.size()` bytes at `at`, which it got here.
        unsafe {
            wipe(at, layout.size());
            System.dealloc(at, layout);
        }
    }
}

/// Wipes `size` bytes at `at`. The compiler knows that nobody reads freed memory and would drop plain writes.
///
/// # Safety
/// `size` bytes at `at` are the caller's.
unsafe fn wipe(at: *mut u8, size: usize) {
    if size > FEW {
        // SAFETY: the caller's promise.
        unsafe { at.write_bytes(0, size) };
        black_box(at);
        return;
    }
    let (words, whole) = (size / 8, size & !7);
    // SAFETY: both stay within `size`.
    unsafe {
        for i in 0..words {
            at.cast::<u64>().add(i).write_unaligned(0);
        }
        at.add(whole).write_bytes(0, size & 7);
    }
    black_box(at);
}

/// Wipes what returned functions have left on the stack. Called at the end of a callback.
#[inline(never)]
pub fn stack() {
    black_box(&mut [0_u8; DEPTH]);
}

#[cfg(test)]
mod tests {
    use super::{FEW, wipe};

    /// Every size about the words' and about `FEW`, at every alignment.
    #[test]
    fn all_bytes_are_wiped_and_none_beside_them() {
        for size in (0..=17).chain(FEW - 9..=FEW + 9).chain([1000]) {
            for start in 0..8 {
                let mut bytes = vec![0xAA_u8; start + size + 8];
                // SAFETY: `size` bytes from `start` on are of the vector.
                unsafe { wipe(bytes.as_mut_ptr().add(start), size) };
                let (before, rest) = bytes.split_at(start);
                let (wiped, after) = rest.split_at(size);
                assert!(wiped.iter().all(|b| *b == 0), "{size} from {start}");
                assert!(before.iter().chain(after).all(|b| *b == 0xAA), "{size} from {start}");
            }
        }
    }
}
