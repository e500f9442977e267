//! How the allocator keeps memory (mallopt(3)).

/// Blocks up to this size come from the heap rather than from a mapping of their own, in bytes: larger than what carries one
/// message of a stream.
const LARGEST_OF_HEAP: libc::c_int = 2 << 20;

/// What the heap may keep at its end before it gives some back, in bytes: the few blocks that one message of a stream takes.
const KEPT: libc::c_int = 4 << 20;

/// Keeps the memory of one message for the next. By default each message's blocks are mapped, faulted in page by page and
/// unmapped again, which costs a translated guest more than all copies of the message.
pub fn keep_for_streams() {
    for (parameter, value) in [(libc::M_MMAP_THRESHOLD, LARGEST_OF_HEAP), (libc::M_TRIM_THRESHOLD, KEPT)] {
        // SAFETY: mallopt(3) takes two numbers and changes nothing but the allocator's own thresholds. It cannot fail for
        // these parameters, and would leave the defaults if it did.
        unsafe { libc::mallopt(parameter, value) };
    }
}

/// Gives back what the heap keeps: nobody knows when the next large stream comes.
pub fn give_back() {
    // SAFETY: malloc_trim(3) releases only memory that nothing uses.
    unsafe { libc::malloc_trim(0) };
}
