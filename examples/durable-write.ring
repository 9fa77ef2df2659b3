# Replaces a file so that a crash leaves either the old contents or the new: write beside it, make the bytes
# durable, rename over it, make the name durable.
#
#   ouzel run examples/durable-write.ring --set directory=. --set name=state --set text=hello

deadline 10s
dir = open $directory read directory
fd = open "${name}.new" write create truncate mode 0600 in dir
write fd $text at 0
sync fd data
rename "${name}.new" in dir to $name in dir
sync dir
finally close fd
finally close dir
