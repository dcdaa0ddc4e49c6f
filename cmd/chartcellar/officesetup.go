package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/store"
	accounts "chartcellar/store/access"
	"chartcellar/store/disk"
	"chartcellar/store/keys"
)

var _ viewer.Wizard = (*office)(nil)

// A setupState is how far the first run is, as it is kept with the secrets.
type setupState struct {
	Proven  time.Time       `json:"proven,omitzero"` // when lines of the recovery sheet were typed
	Ask     []int           `json:"ask,omitempty"`   // which lines are asked for
	EMR     bool            `json:"emr,omitempty"`
	Plan    bool            `json:"plan,omitempty"`
	Done    bool            `json:"done,omitempty"`
	Skipped map[string]bool `json:"skipped,omitempty"`
	// Pull and Full are the times chosen before there was an EMR.
	Pull string `json:"pull,omitempty"`
	Full string `json:"full,omitempty"`
}

const setupSecret = "setup"

func (o *office) setupState() (setupState, error) { return setupStateOf(o.m) }

func setupStateOf(m *store.Mirror) (st setupState, err error) {
	b, err := m.Secret(setupSecret)
	if err == nil && b != nil {
		err = json.Unmarshal(b, &st)
	}
	return st, err
}

// setUp changes the state of the first run.
func (o *office) setUp(change func(*setupState)) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	st, err := o.setupState()
	if err != nil {
		return err
	}
	change(&st)
	b, err := json.Marshal(st)
	if err != nil {
		return fmt.Errorf("write how far the setup is: %w", err)
	}
	return o.m.PutSecret(setupSecret, b)
}

// Setup implements viewer.Wizard. A mirror that was made with init has no first run
// but its owner.
func (o *office) Setup(context.Context) (viewer.Setup, error) {
	if o.m.ReadOnly() {
		return viewer.Setup{Owner: true, Made: true, Done: true}, nil
	}
	owner, err := o.accounts.HasOwner()
	if err != nil {
		return viewer.Setup{}, err
	}
	st, err := o.setupState()
	if err != nil {
		return viewer.Setup{}, err
	}
	unproven, err := disk.Exists(o.e.fsys(), o.recovery)
	if err != nil {
		return viewer.Setup{}, err
	}
	rescue, err := o.accounts.Rescuing()
	if err != nil {
		return viewer.Setup{}, err
	}
	s := o.d.settings()
	byHand := !unproven && st.Proven.IsZero()
	return viewer.Setup{Owner: owner, Sheet: !unproven, EMR: st.EMR, Plan: st.Plan, Alert: len(s.Alerts.MailTo) > 0,
		Done: owner && (st.Done || byHand), Rescue: rescue, Made: true, Practice: s.Practice, Folder: s.Data, Skipped: maps.Clone(st.Skipped)}, nil
}

// CheckFolder implements viewer.Wizard: the folder stands.
func (o *office) CheckFolder(context.Context, string) (viewer.Room, error) {
	return roomOf(o.d.settings().Data)
}

// roomOf looks how much room a folder has, or the nearest one above it that is there.
func roomOf(folder string) (viewer.Room, error) {
	if !filepath.IsAbs(folder) {
		return viewer.Room{}, &viewer.Refusal{Words: "Write the whole path of the folder, from the root of the disk. Nothing was made yet."}
	}
	there := filepath.Clean(folder)
	for {
		info, err := os.Stat(there)
		if err == nil && !info.IsDir() {
			return viewer.Room{}, &viewer.Refusal{Words: there + " is a file, not a folder. Nothing was made yet."}
		}
		if err == nil {
			break
		}
		up := filepath.Dir(there)
		if up == there || !errors.Is(err, os.ErrNotExist) {
			return viewer.Room{}, &viewer.Refusal{Words: "The folder " + there + " cannot be looked at: " + reason(err) + ". Nothing was made yet."}
		}
		there = up
	}
	return measured(folder, there)
}

// measured looks at the disk under a folder that is there.
func measured(folder, there string) (viewer.Room, error) {
	if remote, err := disk.OnNetwork(there); err == nil && remote {
		return viewer.Room{}, &viewer.Refusal{Words: "This folder is on a network drive, where nothing can be written safely. Choose a disk of this computer; a second copy may go to the network later. Nothing was made yet."}
	}
	free, total, err := disk.OS{}.Free(there)
	if err != nil {
		return viewer.Room{}, &viewer.Refusal{Words: "How much room there is could not be measured: " + reason(err) + ". Nothing was made yet."}
	}
	r := viewer.Room{Folder: folder, Free: free, Total: total}
	if free < 10<<30 {
		r.Words = "That is little: a small practice needs some gigabytes, with scanned documents more."
	}
	return r, nil
}

// CreateOwner implements viewer.Wizard: the first account of a mirror that is there.
func (o *office) CreateOwner(ctx context.Context, code string, n viewer.NewOwner) error {
	_, err := o.accounts.SetUp(ctx, n.Address, accounts.FirstOwner{Code: code, Name: n.Name, Display: n.Display, Password: n.Password})
	if err == nil {
		o.ownerMade()
	}
	return err
}

// Sheet implements viewer.Wizard.
func (o *office) Sheet(context.Context, viewer.Actor) (viewer.Sheet, error) {
	s, err := o.readSheet()
	if err != nil {
		return viewer.Sheet{}, err
	}
	out := viewer.Sheet{Practice: s.Practice, Mirror: s.Mirror, Made: s.Created}
	for i, line := range s.Lines() {
		out.Lines = append(out.Lines, viewer.SheetLine{Number: i + 1, Text: line, Check: keys.Check(i+1, line)})
	}
	out.Ask, err = o.asked(len(out.Lines))
	return out, err
}

// asked are the two lines that a person has to look up on the paper; they stay the
// same until they were right.
func (o *office) asked(lines int) ([]int, error) {
	st, err := o.setupState()
	if err != nil || len(st.Ask) == 2 {
		return st.Ask, err
	}
	ask := rand.Perm(lines)[:2]
	ask[0], ask[1] = ask[0]+1, ask[1]+1
	slices.Sort(ask)
	return ask, o.setUp(func(st *setupState) { st.Ask = ask })
}

// SheetPDF implements viewer.Wizard.
func (o *office) SheetPDF(_ context.Context, a viewer.Actor, w io.Writer) error {
	s, err := o.readSheet()
	if err != nil {
		return err
	}
	pdf, err := s.PDF()
	if err != nil {
		return err
	}
	if err := o.journal(accounts.Event{Code: "keys.sheet", Account: a.Account, Address: a.Address, Note: "the recovery sheet was fetched to print it"}); err != nil {
		return err
	}
	_, err = w.Write(pdf)
	return err
}

// ProveSheet implements viewer.Wizard. The sealed sheet goes once it is proven that it
// is on paper: from then on the key is nowhere on this computer.
func (o *office) ProveSheet(ctx context.Context, a viewer.Actor, letters []string) error {
	s, err := o.Sheet(ctx, a)
	if err != nil {
		return err
	}
	if len(letters) != len(s.Ask) {
		return &viewer.Refusal{Words: "Type the check letters of both lines. Nothing is lost."}
	}
	for i, n := range s.Ask {
		if typed := strings.ToUpper(strings.Trim(letters[i], " []()")); typed != s.Lines[n-1].Check {
			return &viewer.Refusal{Words: fmt.Sprintf("The check letters of line %d do not match. Look at the paper again: they are the two letters in brackets at its end. Nothing is lost.", n)}
		}
	}
	if err := o.journal(accounts.Event{Code: "keys.sheet.proven", Account: a.Account, Address: a.Address}); err != nil {
		return err
	}
	if err := o.setUp(func(st *setupState) { st.Proven, st.Ask = o.now().UTC(), nil }); err != nil {
		return err
	}
	if err := proveSheet(o.m, o.now()); err != nil {
		return err
	}
	return disk.RemoveSpent(o.e.fsys(), o.recovery)
}

// Finish implements viewer.Wizard.
func (o *office) Finish(ctx context.Context, a viewer.Actor) error {
	if err := o.setUp(func(st *setupState) { st.Done = true }); err != nil {
		return err
	}
	if len(o.d.settings().Sources) == 0 {
		return nil
	}
	err := o.RunNow(ctx, a, false)
	if errors.Is(err, viewer.ErrBusy) {
		return nil // the schedule was quicker
	}
	return err
}

// Skip implements viewer.Wizard.
func (o *office) Skip(_ context.Context, _ viewer.Actor, step string) error {
	return o.setUp(func(st *setupState) {
		if st.Skipped == nil {
			st.Skipped = map[string]bool{}
		}
		st.Skipped[step] = true
	})
}
