package access

import "os"

// unlock does nothing: closing the file takes the lock off.
func unlock(*os.File) {}
