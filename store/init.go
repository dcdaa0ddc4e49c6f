package store

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"filippo.io/age"

	"chartcellar/store/disk"
	"chartcellar/store/index"
	"chartcellar/store/keys"
)

// InitOptions say how a mirror is made.
type InitOptions struct {
	Dir      string
	Box      *keys.Box
	FS       disk.FS // nil: the real disk
	Now      func() time.Time
	Practice string // for the sheet
	// Passwords are one per person; the key of the map is the person's name.
	Passwords map[string]string
	// Keep, if set, is called with what was made before the folder becomes a
	// mirror. It puts the sheet where it cannot be lost; if it fails, there is no
	// mirror.
	Keep func(NewMirror) error
}

// A NewMirror is what Init made: the sheet must be printed and the office key
// is in the slots, or goes into a key file by the practice's choice.
type NewMirror struct {
	Sheet  keys.Sheet
	Office *age.X25519Identity
}

// Init makes an empty mirror in a folder that has none. The folder is a mirror
// once Init returns nil; after a crash before that it is none, and Init can be
// called again. After a crash when Keep had returned it may be one.
func Init(o InitOptions) (NewMirror, error) {
	o.fill()
	var n NewMirror
	if there, err := IsMirror(o.FS, o.Dir); err != nil {
		return n, err
	} else if there {
		return n, fmt.Errorf("there is already a mirror in %s", o.Dir)
	}
	if err := checkLocal(o.FS, o.Dir); err != nil {
		return n, err
	}
	if err := checkEmpty(o.FS, o.Dir); err != nil {
		return n, err
	}
	office, err := age.GenerateX25519Identity()
	if err != nil {
		return n, fmt.Errorf("make the office key: %w", err)
	}
	recovery, err := age.GenerateX25519Identity()
	if err != nil {
		return n, fmt.Errorf("make the recovery key: %w", err)
	}
	statement, secrets, err := firstStatement(&o, office, recovery)
	if err != nil {
		return n, err
	}
	for name, password := range o.Passwords {
		slot, err := keys.SealSlot(o.Box, office, password)
		if err != nil {
			return n, err
		}
		secrets[filepath.Join("slots", name+"-0001.age")] = slot
	}
	n.Office = office
	n.Sheet = keys.Sheet{Practice: o.Practice, Mirror: statement.Mirror, Recovery: recovery,
		StatementHash: keys.Hash(secrets["statement"]), LogKey: statement.LogKey,
		Recipients: statement.Recipients, Created: statement.Created}
	return n, writeMirror(&o, n, secrets)
}

func (o *InitOptions) fill() {
	if o.FS == nil {
		o.FS = disk.OS{}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

// firstStatement makes the keys; secrets are the files of sealed ones.
func firstStatement(o *InitOptions, office, recovery *age.X25519Identity) (s keys.Statement, secrets map[string][]byte, err error) {
	s = keys.Statement{Format: keys.StatementFormat, Number: 1, Epoch: 1,
		Created: o.Now().UTC().Truncate(time.Second)}
	if s.Mirror, err = newUUID(); err != nil {
		return s, nil, err
	}
	s.Recipients = []keys.Recipient{{Role: "office", Key: office.Recipient().String()},
		{Role: "recovery", Key: recovery.Recipient().String()}}
	mirrorKey, err := keys.NewMirrorKey()
	if err != nil {
		return s, nil, fmt.Errorf("make the mirror key: %w", err)
	}
	to := []age.Recipient{office.Recipient(), recovery.Recipient()}
	if s.MirrorKey, err = keys.SealMirrorKey(mirrorKey, to); err != nil {
		return s, nil, err
	}
	skey, vkey, err := keys.NewLogKey(s.Mirror)
	if err != nil {
		return s, nil, fmt.Errorf("make the log key: %w", err)
	}
	s.LogKey = vkey
	if s.RecoveryKey, err = recoveryKey(recovery); err != nil {
		return s, nil, err
	}
	if s.OfficeKey, err = keys.SealOfficeKey(office, recovery); err != nil {
		return s, nil, err
	}
	if secrets, err = sealKeys(o.Box, mirrorKey, skey); err != nil {
		return s, nil, err
	}
	secrets["statement"], err = keys.SignByLog(s, skey)
	return s, secrets, err
}

// sealKeys returns the files of the keys that a box needs to work unattended.
func sealKeys(box *keys.Box, mirrorKey [32]byte, skey string) (map[string][]byte, error) {
	a, err := box.Seal("mirror key", mirrorKey[:])
	if err != nil {
		return nil, err
	}
	b, err := box.Seal("log key", []byte(skey))
	return map[string][]byte{mirrorKeyFile: a, logKeyFile: b}, err
}

// recoveryKey returns the public part of the recovery signing key, as it stands in
// statements.
func recoveryKey(recovery *age.X25519Identity) (string, error) {
	signer, err := keys.RecoverySigner(recovery)
	if err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(signer.Public().(ed25519.PublicKey)), nil
}

// The files below secrets/.
var (
	mirrorKeyFile = filepath.Join("secrets", "mirror.key")
	logKeyFile    = filepath.Join("secrets", "log.key")
)

// writeMirror writes the sealed files, lets the caller keep the sheet, and then,
// as the commit of Init, writes the statement (archive.md 1, C9).
func writeMirror(o *InitOptions, n NewMirror, secrets map[string][]byte) error {
	file := secrets["statement"]
	delete(secrets, "statement")
	for _, dir := range folders {
		if err := o.FS.Mkdir(filepath.Join(o.Dir, dir)); err != nil {
			return fmt.Errorf("make the folder %s: %w", dir, err)
		}
	}
	if err := putAsideSlots(o.FS, o.Dir); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(secrets)) {
		if err := disk.ReplaceFile(o.FS, filepath.Join(o.Dir, name), secrets[name]); err != nil {
			return err
		}
	}
	if o.Keep != nil {
		if err := o.Keep(n); err != nil {
			return err
		}
	}
	return writeStatement(o.FS, o.Dir, 1, file)
}

// putAsideSlots moves away the passphrases of an Init that was broken off: they
// open a key that was never used.
func putAsideSlots(fsys disk.FS, dir string) error {
	slots, err := fsys.ReadDir(filepath.Join(dir, "slots"))
	if err != nil {
		return fmt.Errorf("list the passphrases: %w", err)
	}
	for _, s := range slots {
		if _, err := disk.Quarantine(fsys, dir, filepath.Join(dir, "slots", s.Name())); err != nil {
			return err
		}
	}
	return nil
}

// checkEmpty refuses a folder with parts or an index: that is a mirror which has
// lost its statement, and new keys must not take the place of its own.
func checkEmpty(fsys disk.FS, dir string) error {
	parts, err := fsys.ReadDir(filepath.Join(dir, "parts"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("look at the data folder: %w", err)
	}
	there, err := disk.Exists(fsys, index.Path(dir))
	if err != nil {
		return fmt.Errorf("look at the data folder: %w", err)
	}
	if there || len(parts) > 0 {
		return fmt.Errorf("%s holds the records of a mirror whose file mirror/000001.json is missing; put that file back from a copy", dir)
	}
	return nil
}

// firstFile is the file that makes a folder a mirror: the first statement of its keys.
func firstFile(dir string) string { return filepath.Join(dir, statementName(1)) }

func statementName(n int) string { return filepath.Join("mirror", fmt.Sprintf("%06d.json", n)) }

// IsMirror reports whether a folder is a mirror.
func IsMirror(fsys disk.FS, dir string) (bool, error) {
	there, err := disk.Exists(fsys, firstFile(dir))
	if err != nil {
		return false, fmt.Errorf("look at the data folder: %w", err)
	}
	return there, nil
}

// Folders returns the names of the folders of a mirror.
func Folders() []string { return slices.Clone(folders) }

// folders are the folders of a mirror.
var folders = []string{"mirror", "parts", "attachments", "holdings", "checkpoints", "settings", "slots", "secrets",
	"journal", "quarantine", "index.runs"}

// checkLocal makes the folder and refuses one on a network drive: no lock and no
// sync there can be relied on.
func checkLocal(fsys disk.FS, dir string) error {
	if err := fsys.Mkdir(dir); err != nil {
		return fmt.Errorf("make the data folder: %w", err)
	}
	remote, err := disk.OnNetwork(dir)
	if err != nil {
		return fmt.Errorf("look at the data folder: %w", err)
	}
	if remote {
		return ErrNetwork
	}
	return nil
}

func newUUID() (string, error) {
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", fmt.Errorf("draw the mirror's id: %w", err)
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]), nil
}
