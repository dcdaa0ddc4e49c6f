// Package store is the mirror: the only door to a practice's records.
//
// A mirror is a folder. Records come in through a Run and are read through a
// Snapshot. What Close of a Run (or an earlier commit inside it) has acknowledged
// survives kill -9, power loss and a full disk; no code path here deletes a
// record. The package knows nothing of networks, schedules or what a code means.
package store

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"filippo.io/age"

	"chartcellar/store/archive"
	"chartcellar/store/disk"
	"chartcellar/store/index"
	"chartcellar/store/journal"
	"chartcellar/store/keys"
)

var (
	// ErrNoMirror says that the folder holds no mirror.
	ErrNoMirror = errors.New("there is no mirror in this folder")
	// ErrBusy is wrapped by *BusyError.
	ErrBusy = errors.New("another process holds the mirror")
	// ErrLocked says that reading needs a passphrase, key file or sheet.
	ErrLocked = errors.New("the mirror is locked")
	// ErrNeedsUnlock says that the index must be rebuilt from the archive, which
	// needs a key. Nothing is lost.
	ErrNeedsUnlock = errors.New("the index must be rebuilt, and that needs a key")
	// ErrNotFound says that the mirror never held the record.
	ErrNotFound = errors.New("the mirror never held this record")
	// ErrDamaged says that stored bytes are not what was written.
	ErrDamaged = archive.ErrDamaged
	// ErrLost is an ErrDamaged: no copy had what was damaged, and a person has declared
	// it lost.
	ErrLost = fmt.Errorf("declared lost: %w", ErrDamaged)
	// ErrNewer says that the mirror was written by a newer release.
	ErrNewer = archive.ErrNewer
	// ErrNetwork says that the folder is on a network drive.
	ErrNetwork = errors.New("the folder is on a network drive")
	// ErrFull says that the disk has reached the reserve (I13).
	ErrFull = errors.New("the disk is nearly full")
	// ErrRolledBack says that the folder is older than what this computer saw.
	ErrRolledBack = errors.New("this folder is an older copy of the mirror")
	// ErrReadOnly is returned by whatever would change a mirror that was opened
	// only to look.
	ErrReadOnly = disk.ErrReadOnly
)

// A BusyError says who holds the mirror.
type BusyError struct{ Holder Holder }

// Error implements error.
func (e *BusyError) Error() string {
	if e.Holder.PID == 0 { // this process
		return "the mirror is in use by " + e.Holder.Doing
	}
	return fmt.Sprintf("the mirror is in use by process %d (%s)", e.Holder.PID, e.Holder.Doing)
}

// Unwrap makes errors.Is(err, ErrBusy) true.
func (e *BusyError) Unwrap() error { return ErrBusy }

// A Holder is what the lock file says of the process that holds the mirror.
type Holder struct {
	PID    int       `json:"pid"`
	Doing  string    `json:"doing"`
	Since  time.Time `json:"since"`
	Socket string    `json:"socket,omitempty"`
}

// A Key names a record.
type Key struct{ Source, Type, ID string }

// String returns Type/ID, as FHIR writes it.
func (k Key) String() string { return k.Type + "/" + k.ID }

// Options say how a mirror is opened.
type Options struct {
	Dir     string           // the data folder
	Box     *keys.Box        // the box key
	FS      disk.FS          // nil: the real disk
	Now     func() time.Time // nil: time.Now; only labels come from it
	Log     *slog.Logger     // nil: none
	Witness string           // file outside Dir that keeps the last root; "": none
	Reserve int64            // free bytes that stay free; 0: the larger of 2 GiB and 5 %
	Ballast int64            // bytes kept to be released when the disk is full; <0: none, 0: 64 MiB
	Doing   string           // what this process does, for others that find the mirror busy
	Socket  string           // its local socket, for the lock file
	// Identity, if set, opens records from the start, and lets Open rebuild a bad
	// index by itself.
	Identity age.Identity
	// ReadOnly opens a folder only to look, as Look says. Box is needed for
	// passphrases only.
	ReadOnly bool
	// Scratch is a folder outside Dir in which a ReadOnly opening keeps its index
	// while it is open; "": in memory where the system can, else among the
	// user's temporary files.
	Scratch string
}

// A Mirror is an open mirror. All methods may be called from many goroutines.
// One process has it open at a time.
type Mirror struct {
	dir       string
	fs        disk.FS
	now       func() time.Time
	log       *slog.Logger
	box       *keys.Box
	stated    atomic.Pointer[stated]
	first     string // SHA-256 of mirror/000001.json
	mirrorKey [32]byte
	logKey    string
	lock      *disk.Lock
	index     *index.DB
	journal   *journal.Journal
	reserve   int64
	witness   string
	cache     *frameCache
	scratch   *disk.Scratch // of a mirror that is only looked at: where its index is; else nil
	looked    *keys.Box     // seals that index, and was made for it alone

	// unfinished is how many parts Look left aside.
	unfinished int

	// settingsMu is held while settings are kept: each gets the next number.
	settingsMu sync.Mutex

	// secretsMu is held while a secret is replaced, or a slot is written: two of one name
	// share a temporary file.
	secretsMu sync.Mutex

	// changing is held while the keys are changed.
	changing sync.Mutex

	// runMu is held by the one Run that writes parts.
	runMu sync.Mutex

	// ending is held by a Run from its closing part until it lets go of runMu.
	ending sync.Mutex

	// naming is held while a part that the index knows still has to get its name.
	naming sync.Mutex

	// repairing is held while a file is mended.
	repairing sync.Mutex

	// rebuilding is held while an index is made beside the one in use: there is one name
	// for its file.
	rebuilding sync.Mutex

	// sealMu covers sealed. It is held while the seals are read from the index.
	sealMu sync.Mutex
	sealed seals // nil: to be read

	// mu covers what follows.
	mu       sync.Mutex
	identity age.Identity        // nil: locked
	office   *age.X25519Identity // nil: locked, or what it was unlocked with does not give it
	problems []Problem           // what Open found wrong
	closed   bool
}

// ID returns the mirror's UUID.
func (m *Mirror) ID() string { return m.stated.Load().Mirror }

// Statement returns the statement in force.
func (m *Mirror) Statement() keys.Statement { return m.stated.Load().Statement }

// Chain returns all statements in their order; it must not be modified.
func (m *Mirror) Chain() keys.Chain { return m.stated.Load().chain }

// FirstHash returns the SHA-256 of mirror/000001.json in hex, as the recovery
// sheet carries it.
func (m *Mirror) FirstHash() string { return m.first }

// Dir returns the data folder.
func (m *Mirror) Dir() string { return m.dir }

// A ProblemKind is what a problem is about.
type ProblemKind string

// The kinds of problems.
const (
	ProblemFile    ProblemKind = "file"    // a part or an attachment is missing, or has the wrong size
	ProblemJournal ProblemKind = "journal" // lines are cut short or not chained
	ProblemIndex   ProblemKind = "index"   // it was bad, and was rebuilt: nothing is lost
	ProblemReserve ProblemKind = "reserve" // the reserve file for a full disk could not be written
	ProblemSigned  ProblemKind = "signed"  // of Look: it is not what the office signed, or that cannot be told
)

// A Problem is something that Open found wrong.
type Problem struct {
	Kind  ProblemKind
	Words string // one sentence
	File  string // the one that it is about, if it is about one
}

// Problems returns what Open found wrong, one sentence each.
func (m *Mirror) Problems() []string {
	list := []string{}
	for _, p := range m.Found() {
		list = append(list, p.Words)
	}
	return list
}

// Found returns what Open found wrong, with what it is about.
func (m *Mirror) Found() []Problem {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.problems)
}

func (m *Mirror) problem(kind ProblemKind, format string, a ...any) {
	m.fileProblem(kind, "", format, a...)
}

func (m *Mirror) fileProblem(kind ProblemKind, file, format string, a ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.problems = append(m.problems, Problem{kind, fmt.Sprintf(format, a...), file})
}

// solved forgets what was wrong with a file.
func (m *Mirror) solved(file string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.problems = slices.DeleteFunc(m.problems, func(p Problem) bool { return p.File == file })
}

// Unlock lets records be read with id until Lock. It fails if id is of another
// mirror, or of a sheet that a newer one has taken the place of (ErrOldSheet). The
// office key stays in force where another key comes later.
func (m *Mirror) Unlock(id age.Identity) error {
	o, err := m.stated.Load().open(id)
	if err != nil {
		return err
	}
	if o.mirrorKey != m.mirrorKey {
		return fmt.Errorf("this key does not open this mirror: %w", ErrLocked)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.identity == nil || m.office == nil {
		m.identity, m.office = o.id, o.office
	}
	return nil
}

// Lock forgets the key and every record in memory. Backups go on.
func (m *Mirror) Lock() {
	m.mu.Lock()
	m.identity, m.office = nil, nil
	m.mu.Unlock()
	m.cache.drop()
}

// Locked reports whether records cannot be read.
func (m *Mirror) Locked() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.identity == nil
}

func (m *Mirror) key() (age.Identity, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.identity == nil {
		return nil, ErrLocked
	}
	return m.identity, nil
}

// Close closes the mirror and lets go of the lock.
func (m *Mirror) Close() error {
	m.mu.Lock()
	done := m.closed
	m.closed = true
	m.mu.Unlock()
	if done {
		return nil
	}
	m.cache.drop()
	if m.scratch != nil {
		return errors.Join(m.index.Close(), m.scratch.Close())
	}
	err := errors.Join(m.journal.Close(), m.index.SetMeta("clean", []byte{1}), m.index.Close())
	return errors.Join(err, m.lock.Release())
}

// An Event is a journal line as callers give it.
type Event struct {
	Code    string // what: record.view, export, run.accept
	Account string // who
	Key     Key    // of what; the patient is hashed
	Patient string // id of the patient, if one was looked at
	Run     uint32
	Count   int
	Note    string // free text; encrypted to the recipients
}

// Journal writes events, all with one sync. They are durable when Journal returns nil;
// else what they tell of must not be done (I14). A mirror that is only looked at records
// nothing, and Journal returns nil: whoever shows one says so.
func (m *Mirror) Journal(events ...Event) error {
	if m.ReadOnly() || len(events) == 0 {
		return nil
	}
	lines := make([]journal.Line, len(events))
	for i, e := range events {
		l := journal.Line{Code: e.Code, Account: e.Account, Source: e.Key.Source,
			Type: e.Key.Type, Run: e.Run, Count: e.Count}
		if e.Patient != "" {
			l.Patient = m.PatientMark(e.Key.Source, e.Patient)
		}
		switch {
		case e.Note == "":
		case i > 0 && e.Note == events[i-1].Note:
			l.Note = lines[i-1].Note
		default:
			sealed, err := m.seal([]byte(e.Note))
			if err != nil {
				return fmt.Errorf("encrypt a journal note: %w", err)
			}
			l.Note = sealed
		}
		lines[i] = l
	}
	err := m.full(m.journal.Append(lines...))
	if errors.Is(err, ErrFull) { // the ballast is there for this: looking and reporting go on (I13)
		err = m.full(m.journal.Append(lines...))
	}
	return err
}

// PatientMark is how the lines of the journal name a patient: a keyed hash, the same in all
// of them.
func (m *Mirror) PatientMark(source, patient string) string { return m.Marker(source).Mark(patient) }

// A Marker makes PatientMarks of many patients of one source. It is for one goroutine.
type Marker struct {
	mac    hash.Hash
	source string
}

// Marker returns the Marker of a source.
func (m *Mirror) Marker(source string) *Marker {
	k := index.PatientKey(m.mirrorKey)
	return &Marker{hmac.New(sha256.New, k[:]), source}
}

// Mark returns the PatientMark of a patient.
func (k *Marker) Mark(patient string) string {
	k.mac.Reset()
	io.WriteString(k.mac, k.source+"\x00"+patient)
	return hex.EncodeToString(k.mac.Sum(nil)[:16])
}

// JournalWaiting returns the time of the oldest journal line that is not in a part
// yet, and the size of all of them; zero if there is none.
func (m *Mirror) JournalWaiting() (oldest time.Time, size int64) {
	if m.ReadOnly() {
		return time.Time{}, 0
	}
	return m.journal.Waiting()
}

func (m *Mirror) path(elem ...string) string {
	return filepath.Join(append([]string{m.dir}, elem...)...)
}

// PutSecret seals a small secret of a source with the box key, durably: a
// signing key, a client secret, a token. It opens no record.
func (m *Mirror) PutSecret(name string, plain []byte) error {
	if m.ReadOnly() {
		return ErrReadOnly
	}
	sealed, err := m.box.Seal("secret "+name, plain)
	if err != nil {
		return err
	}
	m.secretsMu.Lock()
	defer m.secretsMu.Unlock()
	return disk.ReplaceFile(m.fs, m.path("secrets", name), sealed)
}

// Unseal opens what the box key of this mirror has sealed for a purpose outside of it.
func (m *Mirror) Unseal(purpose string, sealed []byte) ([]byte, error) {
	if m.box == nil {
		return nil, ErrReadOnly // only what is looked at has none
	}
	return m.box.Open(purpose, sealed)
}

// Secret returns what PutSecret sealed; nil if there is nothing of that name, or
// the mirror is only looked at.
func (m *Mirror) Secret(name string) ([]byte, error) {
	if m.ReadOnly() {
		return nil, nil
	}
	b, err := disk.ReadFile(m.fs, m.path("secrets", name), 1<<20)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read a secret: %w", err)
	}
	return m.box.Open("secret "+name, b)
}

// Slots returns the names of the people who have a passphrase.
func (m *Mirror) Slots() ([]string, error) {
	entries, err := m.fs.ReadDir(m.path("slots"))
	if errors.Is(err, fs.ErrNotExist) && m.ReadOnly() {
		return nil, nil // a copy has none
	}
	if err != nil {
		return nil, fmt.Errorf("list the passphrases: %w", err)
	}
	var list []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".age"); ok && len(name) > 5 {
			if person := name[:len(name)-5]; !slices.Contains(list, person) {
				list = append(list, person)
			}
		}
	}
	return list, nil
}

// OpenSlot returns the office key that a passphrase opens; the newest slot of
// each person counts. It takes a second or more for each slot that is tried.
func (m *Mirror) OpenSlot(u *keys.Unlocker, password string) (*age.X25519Identity, error) {
	people, err := m.Slots()
	if err != nil {
		return nil, err
	}
	err = keys.ErrWrongPassword
	for _, p := range people {
		id, oerr := m.OpenSlotOf(u, p, password)
		if oerr == nil {
			return id, nil
		}
		if !errors.Is(oerr, keys.ErrWrongPassword) {
			err = oerr
		}
	}
	return nil, err
}

// OpenSlotOf returns the office key that the newest slot of one person opens. The
// error wraps keys.ErrWrongPassword if the passphrase is another one, or there is
// no such slot.
func (m *Mirror) OpenSlotOf(u *keys.Unlocker, person, password string) (*age.X25519Identity, error) {
	name, n, err := m.newestSlot(person)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, keys.ErrWrongPassword
	}
	b, err := disk.ReadFile(m.fs, name, 1<<20)
	if err != nil {
		return nil, fmt.Errorf("read a passphrase slot: %w", err)
	}
	return u.OpenSlot(m.box, b, password)
}

// newestSlot returns the file of a person's newest slot and its number.
func (m *Mirror) newestSlot(person string) (name string, n int, err error) {
	for n = 1; ; n++ {
		next := m.path("slots", fmt.Sprintf("%s-%04d.age", person, n))
		there, err := disk.Exists(m.fs, next)
		if err != nil {
			return "", 0, fmt.Errorf("look for a passphrase slot: %w", err)
		}
		if !there {
			return name, n - 1, nil
		}
		name = next
	}
}

// AddSlot gives a person a passphrase, or a new one: from then on the old one no
// longer opens the mirror. The mirror must be unlocked with a passphrase, or with the
// recovery sheet where that gives the office key (else ErrNoOffice).
func (m *Mirror) AddSlot(person, password string) error {
	if m.ReadOnly() {
		return ErrReadOnly
	}
	office, err := m.officeKey()
	if err != nil {
		return err
	}
	slot, err := keys.SealSlot(m.box, office, password)
	if err != nil {
		return err
	}
	m.secretsMu.Lock()
	defer m.secretsMu.Unlock()
	_, n, err := m.newestSlot(person)
	if err != nil {
		return err
	}
	return disk.WriteFile(m.fs, m.path("slots", fmt.Sprintf("%s-%04d.age", person, n+1)), slot)
}

// DropCache forgets every record in memory; the mirror stays unlocked.
func (m *Mirror) DropCache() { m.cache.drop() }

// SealToPhrase returns the office key encrypted to a copy phrase, for one second copy. It
// must be unlocked as for AddSlot.
func (m *Mirror) SealToPhrase(phrase string) ([]byte, error) {
	office, err := m.officeKey()
	if err != nil {
		return nil, err
	}
	return keys.SealPhrase(office, phrase)
}

// AddressKey is a key for what must not be read in the address of a page. It stays the
// same as long as the mirror key does, and opens no record.
func (m *Mirror) AddressKey() [32]byte { return index.AddressKey(m.mirrorKey) }
