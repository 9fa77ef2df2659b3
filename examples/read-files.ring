# Reads the beginning of a file: one chain for each file.
#
#   ouzel run examples/read-files.ring --each . --exclude .git --exclude target

fd = open $path read
n = read fd 64K at 0
finally close fd
