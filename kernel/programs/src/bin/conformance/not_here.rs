//! The cases of the suite that are not for this kernel, and why. Those that meet a verb that it lacks say so themselves.

/// Why a case is not for this kernel, if so.
pub fn reason(name: &str) -> Option<&'static str> {
    let found = NOT_HERE.iter().find(|(names, _)| names.contains(&name));
    found.map(|(_, why)| *why)
}

const NOT_HERE: &[(&[&str], &str)] = &[
    (&["chain_of_thousands"], "a ring has at most 1024 entries"),
    (
        &["stat_of_a_descriptor", "readdir_of_a_removed_directory"],
        "a file of the ramdisk does not know that its name is gone",
    ),
    (&["paths_may_be_any_bytes"], "names are UTF-8"),
    (&["truncate_shrinks_and_grows"], "a file has at most 4 MiB"),
    (
        &["read_huge_length_is_shortened", "vectored_huge_counts_and_lengths"],
        "a payload that is longer than what is mapped is EFAULT",
    ),
];
