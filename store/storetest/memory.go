package storetest

import (
	"flag"
	"os"
	"runtime"
	"testing"

	"chartcellar/store/disk"
	"chartcellar/store/keys"
)

// memoryFolder is where Linux keeps files in memory.
const memoryFolder = "/dev/shm"

// InMemory runs the tests of a package with their temporary files in memory, where the
// system has that and there is room: they sync all the time, and a power cut they
// simulate. A TMPDIR that is set wins, and benchmarks, which write much, stay on the
// disk. What opens with a passphrase is cheap to open in them. It returns the exit code.
func InMemory(m *testing.M) int {
	flag.Parse()
	keys.CheapForTests()
	bench := flag.Lookup("test.bench")
	if runtime.GOOS == "linux" && os.Getenv("TMPDIR") == "" && (bench == nil || bench.Value.String() == "") {
		if free, _, err := (disk.OS{}).Free(memoryFolder); err == nil && free > 4<<30 {
			os.Setenv("TMPDIR", memoryFolder)
		}
	}
	return m.Run()
}
