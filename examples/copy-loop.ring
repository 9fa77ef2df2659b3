# Copies a file of any length (up to 4 GiB less a bit) within one chain, a buffer at a time: how much was read decides,
# beside the data, how much is written and when it is over.
#
#   ouzel run examples/copy-loop.ring --set from=Cargo.toml --set to=/tmp/copy

source = open $from read
target = open $to write create truncate mode 0644
room = buffer 64K
total = set 0
repeat 65535
  n = read source room at total
  if n zero break
  m = write target room first n at total
  total = add total m
end
print total
finally close source
finally close target
