# Connects, says hello and prints what comes back within two seconds.
#
#   ouzel run examples/tcp-hello.ring --set address=127.0.0.1:7777

s = socket tcp
connect s $address timeout 5s
send s "hello from ouzel\n"
reply = recv s 4K timeout 2s
print reply
finally try shutdown s
finally close s
