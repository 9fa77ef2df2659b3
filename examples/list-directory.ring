# Lists a directory, as far as its records fit into 64 KiB.
#
#   ouzel run examples/list-directory.ring --set path=.

dir = open $path read directory
entries = readdir dir 64K
print entries
finally close dir
