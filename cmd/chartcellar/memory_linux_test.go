package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"chartcellar/fhirsync/fakeemr"
)

// pulled makes a run in a process of its own and returns the most memory it had,
// in bytes, mapped files included. The kernel's own figure at the end of a process
// would hold that of this test too.
func (w *ward) pulled(t *testing.T) (out string, peak int64, err error) {
	t.Helper()
	c, buf := w.command(t.Context(), "", "sync", "--full")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ended:
				return
			case <-tick.C:
				peak = max(peak, highWater(c.Process.Pid))
			}
		}
	})
	err = c.Wait()
	close(ended)
	wg.Wait()
	return buf.String(), peak, err
}

// highWater reads the most memory that a process had so far.
func highWater(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil || !strings.Contains(string(b), "chartcellar") {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), "VmHWM:")
	var kb int64
	fmt.Sscan(rest, &kb) // 0 when the process is just ending
	return kb << 10
}

// TestBombMemory is F12: a file that is 256 MB when it is unpacked, in one line,
// fails its type and costs no more memory than the longest line that is taken.
func TestBombMemory(t *testing.T) {
	if *loops < 100 {
		return // in CI
	}
	w := newWard(t, false, -1)
	_, quiet, err := w.pulled(t)
	if err != nil {
		t.Fatal(err)
	}
	w.emr.Set(fakeemr.Faults{Gzip: "bomb", FileType: "Condition"})
	out, peak, err := w.pulled(t)
	if err == nil || !strings.Contains(out, "GAP   Condition") {
		t.Errorf("a bomb: %v\n%s", err, out)
	}
	t.Logf("a quiet pull had %d MB, one with a bomb %d MB", quiet>>20, peak>>20)
	if grown := peak - quiet; grown > 220<<20 {
		t.Errorf("a bomb of 256 MB cost %d MB of memory", grown>>20)
	}
	w.emr.Set(fakeemr.Faults{})
	w.must(t, "sync")
	w.whole(t)
}

// TestLongLines is F13: a line of 40 MB with a document in it, and one of 70 KB,
// come in and out byte for byte.
func TestLongLines(t *testing.T) {
	if *loops < 100 {
		return // in CI
	}
	w := newWard(t, false, -1)
	line := func(id string, n int) string {
		return fmt.Sprintf(`{"resourceType":"Condition","id":%q,"subject":{"reference":"Patient/pat-1"},"note":[{"text":%q}]}`, id, strings.Repeat("JVBERi0x", n/8))
	}
	long := []string{line("long-40", 40<<20), line("long-70", 70<<10)}
	w.emr.Set(fakeemr.Faults{Extra: long, ExtraType: "Condition", NoCount: true})
	out, peak, err := w.pulled(t)
	if err != nil || !strings.Contains(out, "COMPLETE") {
		t.Fatalf("%v\n%.2000s", err, out)
	}
	t.Logf("a pull with a line of 40 MB had %d MB", peak>>20)
	if peak > 350<<20 {
		t.Errorf("a line of 40 MB cost %d MB of memory", peak>>20)
	}
	plain := filepath.Join(w.dir, "plain")
	w.must(t, "export", "--for", "us", "--purpose", "a test", plain)
	b, err := os.ReadFile(filepath.Join(plain, "Condition.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range long {
		if strings.Count(string(b), l+"\n") != 1 {
			t.Errorf("a line of %d bytes is not in the export as it came", len(l))
		}
	}
	if got := w.must(t, "record", "--raw", "Condition/long-70"); strings.TrimSpace(got) != long[1] {
		t.Errorf("record gives %d bytes, want %d", len(got), len(long[1]))
	}
}
