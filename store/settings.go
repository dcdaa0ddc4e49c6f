package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"filippo.io/age"
	"golang.org/x/mod/sumdb/note"

	"chartcellar/store/disk"
	"chartcellar/store/keys"
)

// KeptSettings are one state of the settings file: part of every second copy, so that who
// comes back with the sheet alone has the addresses again, and shows who changed what.
type KeptSettings struct {
	Number int
	At     time.Time // by this computer's clock
	By     string    // account; "" if it is not known
	Text   []byte    // the file, byte for byte
}

// settingsSecret keeps which settings were kept last: the mirror may be locked.
const settingsSecret = "settings"

// lastSettings is its content.
type lastSettings struct {
	Number int
	Sum    [32]byte
}

func settingsName(n int) string { return filepath.Join("settings", fmt.Sprintf("%06d.age", n)) }

// KeepSettings keeps the settings file, signed by the log key and sealed to the
// recipients, if it is another one than was kept last. Durable when it returns nil. By is
// the account that changed it, "" if that is not known. It needs no key.
func (m *Mirror) KeepSettings(text []byte, by string) error {
	if m.ReadOnly() {
		return ErrReadOnly
	}
	m.settingsMu.Lock()
	defer m.settingsMu.Unlock()
	var last lastSettings
	b, err := m.Secret(settingsSecret)
	if err == nil && b != nil {
		err = json.Unmarshal(b, &last)
	}
	if err != nil {
		last = lastSettings{} // then they are kept once more
	}
	sum := sha256.Sum256(text)
	if last.Number > 0 && last.Sum == sum {
		return nil
	}
	n, err := m.SettingsKept()
	if err != nil {
		return err
	}
	k := KeptSettings{Number: n + 1, At: m.now().UTC().Truncate(time.Second), By: by, Text: text}
	plain, err := m.signSettings(k)
	if err != nil {
		return fmt.Errorf("sign the settings: %w", err)
	}
	sealed, err := m.seal(plain)
	if err != nil {
		return err
	}
	if err := m.fs.Mkdir(m.path("settings")); err != nil { // mirrors of before had none
		return fmt.Errorf("make the folder settings: %w", err)
	}
	if err := m.full(disk.WriteFile(m.fs, m.path(settingsName(k.Number)), sealed)); err != nil {
		return err
	}
	if b, err = json.Marshal(lastSettings{k.Number, sum}); err != nil {
		return err
	}
	return m.PutSecret(settingsSecret, b)
}

// SettingsKept returns the number of the settings that were kept last; 0 if none were.
func (m *Mirror) SettingsKept() (last int, err error) {
	entries, err := m.fs.ReadDir(m.path("settings"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("list the settings: %w", err)
	}
	for _, e := range entries {
		n, err := strconv.Atoi(strings.TrimSuffix(e.Name(), ".age"))
		if err == nil && filepath.Base(settingsName(n)) == e.Name() {
			last = max(last, n)
		}
	}
	return last, nil
}

// ReadSettings returns settings n after checking that the log key of their time has
// signed them: else the error wraps ErrDamaged. ErrNotFound if there are none of that
// number. It needs a key.
func (m *Mirror) ReadSettings(n int) (KeptSettings, error) {
	id, err := m.key()
	if err != nil {
		return KeptSettings{}, err
	}
	sealed, err := disk.ReadFile(m.fs, m.path(settingsName(n)), 16<<20)
	if errors.Is(err, fs.ErrNotExist) {
		return KeptSettings{}, fmt.Errorf("settings %d: %w", n, ErrNotFound)
	}
	if err != nil {
		return KeptSettings{}, err
	}
	r, err := age.Decrypt(bytes.NewReader(sealed), id)
	if err != nil {
		return KeptSettings{}, fmt.Errorf("open settings %d: %w", n, ErrDamaged)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		return KeptSettings{}, fmt.Errorf("open settings %d: %w", n, ErrDamaged)
	}
	k, err := m.parseSettings(n, plain)
	if err != nil {
		return k, fmt.Errorf("settings %d: %w: %w", n, err, ErrDamaged)
	}
	return k, nil
}

// NewestSettings returns the settings that were kept last in the folder of a mirror, or of
// a copy, that is not open. ErrNotFound if there are none; other errors are those of
// ReadSettings, ErrNoMirror, keys.ErrForged and keys.ErrDamaged. It needs o.Identity and
// writes nothing.
func NewestSettings(o Options) (KeptSettings, error) {
	o.fill()
	m := &Mirror{dir: o.Dir, fs: disk.ReadOnly{FS: o.FS}, identity: o.Identity}
	if there, err := IsMirror(m.fs, m.dir); err != nil {
		return KeptSettings{}, err
	} else if !there {
		return KeptSettings{}, ErrNoMirror
	}
	if err := m.readChain(""); err != nil {
		return KeptSettings{}, err
	}
	keys, err := m.stated.Load().open(o.Identity)
	if err != nil {
		return KeptSettings{}, err
	}
	m.identity = keys.id
	n, err := m.SettingsKept()
	if err != nil {
		return KeptSettings{}, err
	}
	return m.ReadSettings(n)
}

// What is signed of settings is a note of five lines; the file follows behind it as it is,
// since a note takes no tabs and no carriage returns.

func (m *Mirror) settingsOrigin() string { return "chartcellar settings/" + m.ID() }

func (m *Mirror) signSettings(k KeptSettings) ([]byte, error) {
	signer, err := note.NewSigner(m.logKey)
	if err != nil {
		return nil, err
	}
	by := strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(k.By, "?"))
	text := fmt.Sprintf("%s\n%d\n%s\nby %s\n%x\n", m.settingsOrigin(), k.Number, k.At.Format(time.RFC3339), by, sha256.Sum256(k.Text))
	head, err := note.Sign(&note.Note{Text: text}, signer)
	return append(append(head, '\n'), k.Text...), err
}

// errSettings says why settings are not believed.
var errSettings = errors.New("they are not signed as they must be")

func (m *Mirror) parseSettings(n int, plain []byte) (k KeptSettings, err error) {
	head, signatures, _ := bytes.Cut(plain, []byte("\n\n"))
	signatures, text, ok := bytes.Cut(signatures, []byte("\n\n"))
	if !ok {
		return k, errSettings
	}
	v, err := note.NewVerifier(m.Chain().SettingsKeyAt(n))
	if err != nil {
		return k, fmt.Errorf("the log key is none: %w", keys.ErrDamaged)
	}
	file := plain[:len(head)+2+len(signatures)+1] // up to the end of the last signature
	signed, err := note.Open(file, note.VerifierList(v))
	if err != nil {
		return k, errSettings
	}
	lines := strings.Split(strings.TrimSuffix(signed.Text, "\n"), "\n")
	if len(lines) != 5 || lines[0] != m.settingsOrigin() || lines[1] != strconv.Itoa(n) {
		return k, errSettings
	}
	sum := sha256.Sum256(text)
	by, named := strings.CutPrefix(lines[3], "by ")
	at, err := time.Parse(time.RFC3339, lines[2])
	if err != nil || !named || lines[4] != hex.EncodeToString(sum[:]) {
		return k, errSettings
	}
	return KeptSettings{Number: n, At: at, By: by, Text: text}, nil
}
