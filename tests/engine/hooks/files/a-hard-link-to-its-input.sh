# when = "makes one of its files a hard link to its input or to the image"
# verdict = "FAILED"
# kind = "HOOK_EXIT"
# says = "the hook exited with code 1"
# then = "The log has `Invalid cross-device link`."
# do = "Copy the file."
# within_seconds = 10

ln /osa/in/record.json features.json
