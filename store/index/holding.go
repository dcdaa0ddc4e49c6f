package index

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"time"

	bolt "go.etcd.io/bbolt"
)

// A KeptFile is one delivery of a file of a holding: files that are kept unchanged
// beside the records.
type KeptFile struct {
	Holding  string    `json:"holding"`
	Path     string    `json:"path"` // inside the holding, with '/'
	Size     int64     `json:"size"`
	SHA256   string    `json:"sha256"`            // of the content, hex
	Role     string    `json:"role,omitempty"`    // format: it describes the others; "": a file
	Problem  string    `json:"problem,omitempty"` // what is wrong with it as it came, in words
	Covers   []string  `json:"covers,omitempty"`  // what the holding has that the records lack, in words
	Copies   []string  `json:"copies,omitempty"`  // the second copies that get it if it is large; none: all
	Source   string    `json:"source"`            // where it was read from
	Modified time.Time `json:"modified"`          // as the file had it
	Taken    time.Time `json:"taken"`             // when it was kept
	Name     BlobName  `json:"name"`
	Part     uint32    `json:"part"` // the part of its line
	Run      uint32    `json:"run"`  // that kept it
}

// keep puts the files of holdings that the lines of a part name.
func (d *DB) keep(tx *bolt.Tx, c *Commit) error {
	for _, f := range c.Kept {
		f.Part, f.Run = c.Part.Number, c.Part.Run
		if err := d.putSealed(tx.Bucket(bHoldings), "holding", d.keptKey(f), f); err != nil {
			return err
		}
	}
	return nil
}

// keptKey is the key of a file in holdings.
func (d *DB) keptKey(f KeptFile) []byte {
	m := hmac.New(sha256.New, d.keys.name)
	m.Write([]byte("holding\x00" + f.Holding + "\x00" + f.Path + "\x00" + f.SHA256))
	return append(binary.BigEndian.AppendUint32(nil, f.Part), m.Sum(nil)[:16]...)
}

// KeptFiles returns the files of a holding, oldest first; of all holdings for "".
func (d *DB) KeptFiles(holding string) ([]KeptFile, error) {
	var list []KeptFile
	err := d.view(func(tx *bolt.Tx) error {
		return eachSealed(d, tx.Bucket(bHoldings), "holding", nil, func(f KeptFile) {
			if holding == "" || f.Holding == holding {
				list = append(list, f)
			}
		})
	})
	return list, err
}
