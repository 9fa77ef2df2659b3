# Sends bytes through a pipe within one chain, and on to standard output.

r, w = pipe
sent = write w "through a pipe\n"
got = read r 64
write stdout got
get sent
finally close w
finally close r
