// Package archive keeps lines of bytes in immutable, encrypted part files and
// proves with a Merkle log that they are the lines that were put there.
//
// A part is age( zstd frame, zstd frame, ..., footer ): `age -d -i key part |
// zstd -d` prints its lines with no help from us (archive.md 3). A part that was
// synced and named survives power loss; a part that was being written has a
// temporary name and is not seen by readers. The package does not know what a
// line means and never changes one.
package archive

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

// Format is the number of the part format that this package writes.
const Format = 1

// The bounds of a part and of its frames (archive.md 3).
const (
	FrameBytes = 320 << 10 // plain bytes in a frame, unless one line alone is larger
	PartBytes  = 64 << 20  // compressed bytes at which a part closes
	PartLines  = 50_000    // lines at which a part closes
	MaxLine    = 64 << 20  // the longest line, without its newline (P71)
)

var (
	// ErrDamaged is wrapped by every error that says stored bytes are not the
	// bytes that were written.
	ErrDamaged = errors.New("damaged")
	// ErrNewer is wrapped when a file was written by a newer release.
	ErrNewer = errors.New("written by a newer release of chartcellar")
)

// A PartNumber numbers the parts of a mirror from 1, without a gap.
type PartNumber uint32

// Name returns the part's file name below the data folder: the folder is
// number/1000, never a date, because clocks lie.
func (n PartNumber) Name() string {
	return filepath.Join("parts", fmt.Sprintf("%06d", n/1000),
		fmt.Sprintf("%012d.ndjson.zst.age", n))
}

// ParsePartName returns the number in a part's file name (the last element of
// a path, with or without the temporary suffix) and whether it is one.
func ParsePartName(base string) (n PartNumber, temp, ok bool) {
	base, temp = strings.CutSuffix(base, ".tmp")
	digits, ok := strings.CutSuffix(base, ".ndjson.zst.age")
	if !ok || len(digits) != 12 {
		return 0, temp, false
	}
	v, err := strconv.ParseUint(digits, 10, 32)
	if err != nil || v == 0 {
		return 0, temp, false
	}
	return PartNumber(v), temp, true
}

// A FrameKind says whose lines a frame holds. Readers go by this and by
// nothing in the lines (archive.md 3).
type FrameKind string

// The kinds of frames.
const (
	Records FrameKind = "records" // resources as the EMR gave them
	Deleted FrameKind = "deleted" // our tombstones: transaction Bundles with one DELETE
	Ours    FrameKind = "ours"    // journal lines, links, attachments up to 4 MiB
)

// A FrameInfo is one row of a part's frame table.
type FrameInfo struct {
	Kind  FrameKind `json:"kind"`
	Type  string    `json:"type"`  // resource type of every line
	At    int64     `json:"at"`    // offset of the zstd frame in the decrypted part
	Size  int64     `json:"size"`  // its length there
	Plain int64     `json:"plain"` // length of the lines with their newlines
	Lines int       `json:"lines"`
	Salt  []byte    `json:"salt"` // 16 bytes, hashed before each line
	Leaf  []byte    `json:"leaf"` // RFC 6962 leaf hash of the frame
}

// A Tree is the head of the Merkle log: how many leaves, and their root.
type Tree struct {
	Size int64  `json:"size"`
	Root []byte `json:"root"` // 32 bytes; of no leaves: SHA-256 of nothing
}

// A Footer is the last frame of a part, a skippable one that `zstd -d`
// ignores. Changes is for the layer above: what the part changes in job
// progress, gaps, cursors and run states.
type Footer struct {
	Format  int         `json:"format"`
	Part    PartNumber  `json:"part"`
	Epoch   int         `json:"epoch"`
	Run     uint32      `json:"run"`
	Source  string      `json:"source"`
	Fetched string      `json:"fetched"` // RFC 3339, UTC, by the box's clock: a label, never an order
	Frames  []FrameInfo `json:"frames"`
	Before  Tree        `json:"before"` // the log before this part
	Changes any         `json:"changes,omitempty"`
}
