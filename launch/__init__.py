"""Commands to train, evaluate, predict, compare and prepare."""

import os
import signal
import sys

# While a command's libraries are imported, which takes seconds, Ctrl-C ends it at once. Python's
# own KeyboardInterrupt would be lost where it comes within a callback of the garbage collector.
_COMMAND = sys.argv[0] == "-m" or os.path.basename(sys.argv[0]).startswith("ldl-")
if _COMMAND and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
