package archive_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"chartcellar/store/archive"
	"chartcellar/store/disk"
)

// TestFormatExample checks the worked example of docs/format.md.
func TestFormatExample(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "format.md"))
	if err != nil {
		t.Fatal(err)
	}
	salt, err := hex.DecodeString("000102030405060708090a0b0c0d0e0f")
	if err != nil {
		t.Fatal(err)
	}
	lines := "{\"resourceType\":\"Patient\",\"id\":\"a\"}\n{\"resourceType\":\"Patient\",\"id\":\"b\"}\n"
	leaf := hex.EncodeToString(archive.LeafHash(salt, []byte(lines)))
	footer := hex.EncodeToString(archive.AppendFooter(nil, []byte("{}"), 300))
	for _, want := range []string{strings.TrimSuffix(lines, "\n"), leaf, footer} {
		if !strings.Contains(string(text), want) {
			t.Errorf("docs/format.md does not hold %s", want)
		}
	}
}

func write(t *testing.T, dir string, id *age.X25519Identity, frames ...string) archive.Sealed {
	t.Helper()
	w, err := archive.NewWriter(disk.OS{}, dir, 1, []age.Recipient{id.Recipient()})
	if err != nil {
		t.Fatal(err)
	}
	c := archive.NewCodec()
	for _, plain := range frames {
		f, err := c.Encode(archive.Records, "Patient", []byte(plain), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Add(f); err != nil {
			t.Fatal(err)
		}
	}
	s, err := w.Seal(archive.Footer{Part: 1, Before: archive.Tree{Root: make([]byte, 32)}})
	if err != nil {
		t.Fatal(err)
	}
	if err := archive.Name(disk.OS{}, dir, 1); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRoundTrip(t *testing.T) {
	dir := t.TempDir()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	frames := []string{"{\"a\":1}\n", strings.Repeat("{\"b\":\"Ä\"}\n", 9000), "{\"big\":\"" + strings.Repeat("x", 3<<20) + "\"}\n"}
	sealed := write(t, dir, id, frames...)
	p, err := archive.OpenPart(disk.OS{}, dir, 1, id)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for i, want := range frames {
		got, err := p.Frame(archive.NewCodec(), i, nil)
		if err != nil || string(got) != want {
			t.Errorf("Frame(%d) = %d bytes, %v", i, len(got), err)
		}
	}
	if got := p.Leaves(); len(got) != 4 || got[0] != sealed.Leaves[0] || got[3] != sealed.Leaves[3] {
		t.Errorf("Leaves = %v, want %v", got, sealed.Leaves)
	}
	if size, sum, err := archive.Sum(disk.OS{}, filepath.Join(dir, archive.PartNumber(1).Name())); err != nil ||
		size != sealed.Size || sum != sealed.SHA256 {
		t.Errorf("Sum = %d, %x, %v", size, sum, err)
	}
	other, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := archive.OpenPart(disk.OS{}, dir, 1, other); !errors.Is(err, archive.ErrDamaged) {
		t.Errorf("OpenPart with another key = %v", err)
	}
	if _, err := archive.NewWriter(disk.OS{}, dir, 1, []age.Recipient{id.Recipient()}); err != nil {
		t.Fatal(err)
	}
	if err := archive.Name(disk.OS{}, dir, 1); !errors.Is(err, disk.ErrExists) {
		t.Errorf("a part was replaced: %v", err)
	}
}

// FuzzFooter: no input makes the footer parser panic or accept a table that does
// not fit its part.
func FuzzFooter(f *testing.F) {
	f.Add([]byte(`{"format":1,"part":1,"frames":[],"before":{"size":0,"root":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}}`), int64(0))
	f.Add([]byte(`{"format":2}`), int64(5))
	f.Fuzz(func(t *testing.T, payload []byte, at int64) {
		foot, _, err := archive.ParseFooter(payload, at)
		if err != nil {
			return
		}
		var end int64
		for _, fr := range foot.Frames {
			end += fr.Size
		}
		if end != at {
			t.Errorf("frames end at %d, footer is at %d", end, at)
		}
	})
}

// FuzzFrame: bytes that were never a frame are refused, not returned.
func FuzzFrame(f *testing.F) {
	c := archive.NewCodec()
	good, err := c.Encode(archive.Records, "Patient", []byte("{}\n"), nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good.Bytes())
	f.Fuzz(func(t *testing.T, packed []byte) {
		plain, err := archive.NewCodec().Decode(good.Info, packed, nil)
		if err == nil && !bytes.Equal(plain, []byte("{}\n")) {
			t.Errorf("decoded to %q", plain)
		}
	})
}
