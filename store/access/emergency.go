package access

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	bolt "go.etcd.io/bbolt"
)

// Limits of emergency access.
const (
	MinReason        = 20 // characters
	DefaultEmergency = time.Hour
	MaxEmergency     = 4 * time.Hour
)

// An Emergency is one time that somebody saw what is labelled sensitive.
type Emergency struct {
	ID         string
	Account    string // ID
	Name       string // sign-in name at that time
	From       time.Time
	Until      time.Time
	Reason     string // "" while the mirror is locked, or without Options.Notes
	ReviewedBy string // name; "": not yet
	Reviewed   time.Time
	Remark     string // of the reviewer; as Reason
}

type emergencyRow struct {
	id         string    // the key
	Account    string    `json:"account"`
	Name       string    `json:"name"`
	From       time.Time `json:"from"`
	Until      time.Time `json:"until"`
	Reason     []byte    `json:"reason,omitempty"` // sealed by Notes
	ReviewedBy string    `json:"reviewedBy,omitempty"`
	Reviewed   time.Time `json:"reviewed,omitzero"`
	Remark     []byte    `json:"remark,omitempty"` // sealed by Notes
}

// StartEmergency lets a session that may ask for it see what is labelled
// sensitive, for a time (0: DefaultEmergency) and a reason, and returns its new
// token; the old one is void. It ends with the time, the session, a restart of
// the program, or EndEmergency, and waits for a review.
func (a *Access) StartEmergency(ctx context.Context, token, reason string, d time.Duration) (string, Session, error) {
	v, err := a.Allow(token, EmergencyAccess)
	if err != nil {
		return "", v, err
	}
	reason = strings.Join(strings.Fields(reason), " ")
	if utf8.RuneCountInString(reason) < MinReason {
		return "", v, ErrShortReason
	}
	if d == 0 {
		d = DefaultEmergency
	}
	if d < time.Minute || d > MaxEmergency {
		return "", v, ErrDuration
	}
	if err := ctx.Err(); err != nil {
		return "", v, err
	}
	now := a.o.Now()
	row := emergencyRow{Account: v.Account.ID, Name: v.Account.Name, From: now.UTC(), Until: now.UTC().Add(d)}
	if row.Reason, err = a.hide(reason); err != nil {
		return "", v, err
	}
	err = a.journal(Event{Code: CodeEmergency, Account: row.Name, Address: v.Address,
		Note: fmt.Sprintf("for %s: %s", d, reason), Alert: true})
	if err != nil {
		return "", v, err
	}
	id := row.From.Format("20060102T150405.000000000Z") + "-" + hex.EncodeToString(random(4))
	a.change.Lock()
	defer a.change.Unlock()
	if err := a.file.update(func(tx *bolt.Tx) error { return putJSON(tx, bEmergency, id, row) }); err != nil {
		return "", v, err
	}
	defer a.tell()
	a.mu.Lock()
	defer a.mu.Unlock()
	s, r, err := a.find(token)
	if err == nil && s.locked {
		err = ErrSessionLocked
	}
	if err != nil {
		return "", v, err
	}
	if token, err = a.rotate(s); err != nil {
		return "", v, err
	}
	s.emergency, s.until = id, now.Add(d)
	return token, a.show(s, r), nil
}

// EndEmergency ends the emergency access of a session before its time.
func (a *Access) EndEmergency(token string) error {
	defer a.tell()
	a.mu.Lock()
	defer a.mu.Unlock()
	s, r, err := a.find(token)
	if err != nil || s.emergency == "" {
		return err
	}
	id := s.emergency
	s.emergency = ""
	a.late = append(a.late, Event{Code: CodeEmergencyEnd, Account: r.Name, Address: s.address})
	now := a.o.Now().UTC()
	return a.file.update(func(tx *bolt.Tx) error {
		var row emergencyRow
		there, err := getJSON(tx, bEmergency, id, &row)
		if err != nil || !there {
			return err
		}
		row.Until = now
		return putJSON(tx, bEmergency, id, row)
	})
}

// Emergencies returns emergency access, newest first: all of it to whoever may
// review it, else the caller's own. Unreviewed leaves out what is reviewed.
func (a *Access) Emergencies(token string, unreviewed bool) (list []Emergency, err error) {
	me, err := a.Use(token)
	if err != nil {
		return nil, err
	}
	if me.Account.MustChange {
		return nil, ErrMustChange
	}
	var rows []emergencyRow
	err = a.file.view(func(tx *bolt.Tx) error {
		return each(tx, bEmergency, func(id string, row emergencyRow) error {
			mine := row.Account == me.Account.ID
			if unreviewed && row.ReviewedBy != "" || !mine && !me.Can(ReviewEmergency) {
				return nil
			}
			row.id = id
			rows = append(rows, row)
			return nil
		})
	})
	for _, row := range slices.Backward(rows) {
		list = append(list, Emergency{ID: row.id, Account: row.Account, Name: row.Name, From: row.From,
			Until: row.Until, Reason: a.reveal(row.Reason), ReviewedBy: row.ReviewedBy,
			Reviewed: row.Reviewed, Remark: a.reveal(row.Remark)})
	}
	return list, err
}

// Unreviewed returns how many wait for a review, for the page Home; it says
// nothing else and needs no session.
func (a *Access) Unreviewed() (n int, err error) {
	err = a.file.view(func(tx *bolt.Tx) error {
		return each(tx, bEmergency, func(_ string, row emergencyRow) error {
			if row.ReviewedBy == "" {
				n++
			}
			return nil
		})
	})
	return n, err
}

// Review notes that somebody else has looked at an emergency access. The error is
// ErrOwnReview, ErrNoEmergency (also if it is reviewed), or one of Allow.
func (a *Access) Review(token, id, remark string) error {
	me, err := a.Allow(token, ReviewEmergency)
	if err != nil {
		return err
	}
	a.change.Lock()
	defer a.change.Unlock()
	var row emergencyRow
	var there bool
	err = a.file.view(func(tx *bolt.Tx) error {
		there, err = getJSON(tx, bEmergency, id, &row)
		return err
	})
	switch {
	case err != nil:
		return err
	case !there || row.ReviewedBy != "":
		return ErrNoEmergency
	case row.Account == me.Account.ID:
		return ErrOwnReview
	}
	if row.Remark, err = a.hide(remark); err != nil {
		return err
	}
	err = a.journal(Event{Code: CodeReview, Account: me.Account.Name, Target: row.Name, Address: me.Address,
		Note: id + " " + remark})
	if err != nil {
		return err
	}
	row.ReviewedBy, row.Reviewed = me.Account.Name, a.o.Now().UTC()
	return a.file.update(func(tx *bolt.Tx) error {
		var now emergencyRow
		if _, err := getJSON(tx, bEmergency, id, &now); err != nil {
			return err
		}
		row.Until = now.Until // it may have ended meanwhile
		return putJSON(tx, bEmergency, id, row)
	})
}

// hide seals free text; without Notes it is not kept.
func (a *Access) hide(text string) ([]byte, error) {
	if a.o.Notes == nil || text == "" {
		return nil, nil
	}
	b, err := a.o.Notes.Seal([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("seal a reason: %w", err)
	}
	return b, nil
}

func (a *Access) reveal(sealed []byte) string {
	if a.o.Notes == nil || sealed == nil {
		return ""
	}
	b, err := a.o.Notes.Open(sealed)
	if err != nil {
		return "" // locked
	}
	return string(b)
}
