package offsite_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"chartcellar/store"
	"chartcellar/store/keys"
	"chartcellar/store/offsite"
	"chartcellar/store/storetest"
	"chartcellar/store/verify"
)

// loops is how thorough the crash tests are: .ci/run turns it up.
var loops = flag.Int("crash.loops", 6, "how many times something breaks")

// looksWhole reads every byte of a restored folder, and returns its root.
func looksWhole(t *testing.T, dir string, sheet keys.Sheet) (root [32]byte, err error) {
	t.Helper()
	back, err := store.Look(t.Context(), store.Options{Dir: dir, Identity: sheet.Recovery})
	if err != nil {
		return root, err
	}
	defer back.Close() // only looked at
	res, err := verify.Run(t.Context(), back, verify.Options{Depth: verify.Full})
	if err == nil && !res.Good() {
		err = fmt.Errorf("damage: %+v", res.Damage)
	}
	if err != nil {
		return root, err
	}
	_, root, err = back.Tree()
	return root, err
}

// TestBreakingDiskRestore is T2 and T3 for a restore: any operation on the disk fails, or
// fails though it happened, or the disk is full, or the power goes and what was not synced
// is lost. It is reported, the folder is no mirror, and the same restore goes on.
func TestBreakingDiskRestore(t *testing.T) {
	m, n := made(t, 3)
	_, want, err := m.Tree()
	if err != nil {
		t.Fatal(err)
	}
	p := newMemory()
	copied(t, m, p)
	probe := storetest.New(0, storetest.Fails)
	if _, err := offsite.Restore(t.Context(), p, offsite.RestoreOptions{Dir: filepath.Join(t.TempDir(), "probe"), FS: probe}); err != nil {
		t.Fatal(err)
	}
	ops := probe.Ops()
	step := max(1, 4*ops / *loops) // every operation with -crash.loops=400
	for how, name := range []string{"fails", "happens and fails", "is full", "is the last before a power cut"} {
		for at := 1 + rand.IntN(step); at <= ops; at += step {
			what, dir := fmt.Sprintf("operation %d of %d %s", at, ops, name), filepath.Join(t.TempDir(), "back")
			d := storetest.New(at, storetest.How(how))
			_, err := offsite.Restore(t.Context(), p, offsite.RestoreOptions{Dir: dir, FS: d})
			if (err == nil) == d.Struck() {
				t.Errorf("%s: Restore = %v", what, err)
			}
			if how == int(storetest.Full) && d.Struck() && !errors.Is(err, offsite.ErrNoRoom) {
				t.Errorf("%s: Restore = %v, want ErrNoRoom", what, err)
			}
			if err := d.Lose(rand.New(rand.NewPCG(uint64(at), 5))); err != nil {
				t.Fatal(err)
			}
			if whole, err := store.IsMirror(d.OS, dir); err == nil && whole && how != int(storetest.Happens) {
				if root, err := looksWhole(t, dir, n.Sheet); err != nil || root != want {
					t.Errorf("%s: what is half there passes for a mirror: %v", what, err)
				}
			}
			if r, err := offsite.Restore(t.Context(), p, offsite.RestoreOptions{Dir: dir}); err != nil || len(r.Wrong) > 0 {
				t.Errorf("%s: Restore again = %+v, %v", what, r.Wrong, err)
			}
			if root, err := looksWhole(t, dir, n.Sheet); err != nil || root != want {
				t.Errorf("%s: afterwards: root %x, %v", what, root, err)
			}
		}
	}
}

// TestBreakingDiskCopy is T2 and T3 for a copy to a disk that breaks: it is reported,
// never called complete, and the next copy is whole, byte for byte.
func TestBreakingDiskCopy(t *testing.T) {
	m, _ := made(t, 2)
	probe := storetest.New(0, storetest.Fails)
	copied(t, m, offsite.OpenFolder(t.TempDir(), probe))
	ops := probe.Ops()
	step := max(1, 4*ops / *loops)
	for how, name := range []string{"fails", "happens and fails", "is full", "is the last before a power cut"} {
		for at := 1 + rand.IntN(step); at <= ops; at += step {
			what, root := fmt.Sprintf("operation %d of %d %s", at, ops, name), t.TempDir()
			d := storetest.New(at, storetest.How(how))
			r, err := offsite.Copy(t.Context(), m, offsite.OpenFolder(root, d), offsite.Options{Place: "usb"})
			if d.Struck() && err == nil && r.Complete() {
				t.Errorf("%s: it is called complete", what)
			}
			if err := d.Lose(rand.New(rand.NewPCG(uint64(at), 6))); err != nil {
				t.Fatal(err)
			}
			good := offsite.OpenFolder(root, nil)
			if r, err := offsite.Copy(t.Context(), m, good, offsite.Options{Place: "usb"}); err != nil || !r.Complete() {
				t.Errorf("%s: the next copy: %+v, %v", what, r, err)
			}
			if r, err := offsite.Check(t.Context(), m, good, offsite.Options{Place: "usb"}); err != nil || !r.Complete() {
				t.Errorf("%s: the check of it: %+v, %v", what, r.Wrong, err)
			}
		}
	}
}

// TestFlippedCopy is T5 over a copy: flipped bits in each of its files are found by a
// check of every byte, and a restore says so, or brings the same records all the same.
func TestFlippedCopy(t *testing.T) {
	m, n := made(t, 3)
	_, want, err := m.Tree()
	if err != nil {
		t.Fatal(err)
	}
	p := newMemory()
	copied(t, m, p)
	list, err := m.Inventory()
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 9))
	for i := range max(2*len(list), 3**loops) {
		name := list[i%len(list)].Name
		good := p.files[name]
		bad := bytes.Clone(good)
		for range 1 + 7*(i/len(list)%2) {
			bad[r.IntN(len(bad))] ^= 1 << r.IntN(8)
		}
		if bytes.Equal(bad, good) {
			continue // it was flipped twice
		}
		p.files[name] = bad
		if res, err := offsite.Check(t.Context(), m, p, offsite.Options{}); err == nil && (len(res.Wrong) != 1 || res.Wrong[0].File != name || res.Complete()) {
			t.Errorf("bits flipped in %s: Check = %+v", name, res.Wrong)
		}
		dir := filepath.Join(t.TempDir(), "back")
		res, err := offsite.Restore(t.Context(), p, offsite.RestoreOptions{Dir: dir})
		if err == nil && len(res.Wrong) == 0 {
			root, err := looksWhole(t, dir, n.Sheet)
			if err == nil && root != want {
				t.Errorf("bits flipped in %s: other records came back, and nothing was said", name)
			}
			if err == nil && strings.HasSuffix(name, ".age") && !strings.HasPrefix(name, "settings/") {
				t.Errorf("bits flipped in %s: nothing was said", name)
			}
		}
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil && len(res.Wrong) > 0 && strings.HasPrefix(name, "parts/") {
			t.Errorf("%s was kept though it is wrong", name)
		}
		p.files[name] = good
	}
}
