# Copies a file of up to 1 MiB. The length that is written is the length that was read: it travels from one
# operation to the next in a register and is never seen by the command.
#
#   ouzel run examples/copy.ring --set from=Cargo.toml --set to=/tmp/copy

source = open $from read
target = open $to write create truncate mode 0644
n = read source 1M at 0
write target n at 0
finally close source
finally close target
