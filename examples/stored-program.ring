# Writes a file and reads it back by two stored programs: each call of one is one entry and one completion, whatever the
# program does. A service could let its clients call these and nothing else.
#
#   ouzel run examples/stored-program.ring --set path=/tmp/note --set text=hello

program replace path $name, data $text
  fd = open $name write create truncate mode 0600
  n = write fd $text at 0
  sync fd data
  finally close fd
  give n
end

program beginning path $name
  fd = open $name read
  n = read fd 4K at 0
  finally close fd
  give n
end

call replace $path, $text
text = call beginning $path
print text
