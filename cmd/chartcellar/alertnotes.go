package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"chartcellar/cmd/chartcellar/internal/health"
	"chartcellar/cmd/chartcellar/internal/notify"
	"chartcellar/config"
	"chartcellar/fhirsync/schedule"
	"chartcellar/store"
	"chartcellar/store/disk"
	"chartcellar/store/keys"
)

// What alerts keep lies beside the box key and is sealed with it, not in the
// mirror's folder: that this folder is gone is one of the things to tell, and to tell
// once only, also when the program is started again and again.
const (
	notesSuffix    = ".alerts"
	passwordSuffix = ".mail"
)

// notes are what alerts keep over restarts.
type notes struct {
	Center json.RawMessage `json:"center,omitempty"`
	// Settings are those whose change everybody has heard of; nil: none yet.
	Settings *config.Settings         `json:"settings,omitempty"`
	Jobs     map[string]trouble       `json:"jobs,omitempty"`
	Skew     map[string]time.Duration `json:"skew,omitempty"`
	Clock    time.Time                `json:"clock,omitzero"` // the latest that the clock has shown
	Pinged   map[string]time.Time     `json:"pinged,omitempty"`
	PingDown time.Time                `json:"pingDown,omitzero"`
	FileDown time.Time                `json:"fileDown,omitzero"`
	Told     []toldLine               `json:"told,omitempty"` // the last ones, newest first
}

func (n notes) marshal() ([]byte, error) {
	b, err := json.Marshal(n)
	if err != nil {
		return nil, fmt.Errorf("write what was told: %w", err)
	}
	return b, nil
}

// A toldLine is one message that went over one channel, or did not.
type toldLine struct {
	At      time.Time    `json:"at"`
	Channel string       `json:"channel"`
	Kind    notify.Kind  `json:"kind"`
	Source  string       `json:"source,omitempty"`
	Phase   notify.Phase `json:"phase"`
	Fault   string       `json:"fault,omitempty"` // "": it was taken
}

// readNotes reads what alerts keep; with a file that is not there it is nothing.
func readNotes(fsys disk.FS, s config.Settings, open unsealer) (n notes, err error) {
	n.Jobs, n.Skew, n.Pinged = map[string]trouble{}, map[string]time.Duration{}, map[string]time.Time{}
	b, err := readSealed(fsys, open, s.BoxKey+notesSuffix, "alerts")
	if err == nil && b != nil {
		err = json.Unmarshal(b, &n)
	}
	if err != nil {
		return n, fmt.Errorf("read what was told before: %w", err)
	}
	return n, nil
}

// unsealer opens what the box key has sealed.
type unsealer func(purpose string, sealed []byte) ([]byte, error)

// readSealed reads a small sealed file; nil if it is not there.
func readSealed(fsys disk.FS, open unsealer, path, purpose string) ([]byte, error) {
	there, err := disk.Exists(fsys, path)
	if err != nil || !there {
		return nil, err
	}
	b, err := disk.ReadFile(fsys, path, 4<<20)
	if err != nil {
		return nil, err
	}
	return open(purpose, b)
}

func writeSealed(fsys disk.FS, box *keys.Box, path, purpose string, plain []byte) error {
	b, err := box.Seal(purpose, plain)
	if err != nil {
		return err
	}
	return disk.ReplaceFile(fsys, path, b)
}

// sent adds what came of messages; the last fifty stay.
func (n *notes) sent(now time.Time, outcomes []notify.Outcome) {
	for _, o := range outcomes {
		l := toldLine{At: now, Channel: o.Channel, Kind: o.Kind, Source: o.Source, Phase: o.Phase}
		if o.Err != nil {
			l.Fault = o.Err.Error()
		}
		n.Told = append([]toldLine{l}, n.Told...)
	}
	n.Told = n.Told[:min(50, len(n.Told))]
}

// told judges what the alerts know: whether somebody is told, whether the sign-in
// works, whether the clock is as it should be.
func (f *factFinder) told() {
	w := waysOf(f.s.Alerts, nil)
	f.in.Alerts = health.Check{Words: "what was told before cannot be read"}
	if n, err := readNotes(disk.OS{}, f.s, f.m.Unseal); err == nil {
		f.in.Alerts = n.judge(w, f.s.Alerts.Ping != "")
		f.noted(n)
	}
	if len(w.all())+len(w.wrong) == 0 && f.s.Alerts.Ping == "" {
		f.in.Alerts = health.Check{Answer: health.NotSetUp}
	}
}

// judge says whether somebody is told: a way that works is known only once it has
// carried something.
func (n notes) judge(w ways, ping bool) health.Check {
	c := notify.NewCenter(notify.Options{Channels: w.all()})
	if len(n.Center) > 0 && c.UnmarshalJSON(n.Center) != nil {
		return health.Check{Words: "what was told before cannot be read"}
	}
	if len(w.wrong) > 0 {
		return health.Check{Answer: health.No, Words: w.wrong[0]}
	}
	var carried time.Time
	for _, one := range c.Carriers() {
		if !one.Failing.IsZero() {
			return health.Check{Answer: health.No, At: one.Failing, Words: "alerts over " + one.Name + " do not arrive"}
		}
		carried = later(carried, one.Carried)
	}
	if ping && !n.PingDown.IsZero() {
		return health.Check{Answer: health.No, At: n.PingDown, Words: "the ping does not arrive"}
	}
	if ping {
		for _, at := range n.Pinged {
			carried = later(carried, at)
		}
	}
	if carried.IsZero() {
		return health.Check{Words: "no alert was sent yet; try it: chartcellar alerts test"}
	}
	return health.Check{Answer: health.Yes, At: carried}
}

// noted takes what serve has noted into the facts.
func (f *factFinder) noted(n notes) {
	for _, src := range f.s.Sources {
		for _, kind := range []schedule.Kind{schedule.Pull, schedule.Full} {
			t, ok := n.Jobs[schedule.Job{Source: src.Name, Kind: kind}.String()]
			if ok && (t.Cause == causeSignIn || t.Cause == causeMoved) {
				f.in.Facts[health.SignIn] = health.Check{Answer: health.No, At: t.Since, Words: "the EMR refuses our sign-in"}
			}
		}
	}
	if n.Clock.Sub(f.now) > clockSlack {
		f.in.Wrong = append(f.in.Wrong, "this computer's clock was set back")
	}
}

// keepPassword seals the password of the mail server.
func keepPassword(fsys disk.FS, box *keys.Box, s config.Settings, password string) error {
	return writeSealed(fsys, box, s.BoxKey+passwordSuffix, "mail password", []byte(password))
}

// errNoPassword says that nobody has given the password yet.
var errNoPassword = errors.New("it was not given yet; give it with: chartcellar alerts password")

// passwordOf returns what reads the password of the mail server.
func passwordOf(fsys disk.FS, box *keys.Box, s config.Settings) func() (string, error) {
	return func() (string, error) {
		b, err := readSealed(fsys, box.Open, s.BoxKey+passwordSuffix, "mail password")
		if err == nil && b == nil {
			err = errNoPassword
		}
		return string(b), err
	}
}

// journalTold notes in the journal what was told, once for all channels.
func journalTold(m *store.Mirror, outcomes []notify.Outcome) error {
	type key struct {
		code, source string
	}
	count := map[key]int{}
	var order []key
	for _, o := range outcomes {
		if o.Err != nil || o.Kind == notify.Trial {
			continue
		}
		k := key{fmt.Sprintf("alert.%s.%s", o.Kind, o.Phase), o.Source}
		if o.Kind == notify.ChannelDown {
			k.source = "" // it is an address
		}
		if count[k]++; count[k] == 1 {
			order = append(order, k)
		}
	}
	for _, k := range order {
		if err := m.Journal(store.Event{Code: k.code, Key: store.Key{Source: k.source}, Count: count[k]}); err != nil {
			return err
		}
	}
	return nil
}
