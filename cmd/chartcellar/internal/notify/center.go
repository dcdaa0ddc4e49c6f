package notify

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// An Alert is something that is wrong at the moment. Kind and Source are its key:
// there is one alert of a key at a time.
type Alert struct {
	Kind   Kind
	Source string // "" for the whole mirror
	Level  Level
	Text   Text
	Next   Text
}

func (a Alert) key() string { return string(a.Kind) + " " + a.Source }

// Options are what a Center works with.
type Options struct {
	Practice string // its name, as it stands in messages
	Channels []Channel
	// Remind is after how long an alert that goes on is told again; the default is
	// 7 days. RemindRed is the same for urgent ones, and for a sheet that is missing each
	// evening anew; the default is a day.
	Remind, RemindRed time.Duration
	// Timeout is how long one channel may take for all messages of one Update; the
	// default is a minute.
	Timeout time.Duration
	// Now is the clock, nil means time.Now.
	Now func() time.Time
}

// retry is after how long a channel that failed is tried again, and forget how long
// it is tried to be told that something is over.
const (
	retry  = 15 * time.Minute
	forget = 7 * 24 * time.Hour
)

// A Center tells every channel of an alert once when it begins, again while it goes
// on, and once when it is over. What it has told is its state, which the caller
// stores: MarshalJSON after each Update, UnmarshalJSON before the first. Its methods
// may be called from many goroutines.
type Center struct {
	o Options

	// sending is held by Update while it sends, so that nothing is sent twice. It is
	// taken before mu.
	sending sync.Mutex

	// mu covers what follows and the channels; it is never held while something is
	// sent.
	mu    sync.Mutex
	state state
}

// A state is what is stored.
type state struct {
	Alerts map[string]*standing  `json:"alerts"`
	Failed map[string]*breakdown `json:"failed,omitempty"` // by channel
	// Carried is when each channel last had a message taken.
	Carried map[string]time.Time `json:"carried,omitempty"`
}

// A standing is what was told of one alert.
type standing struct {
	Kind   Kind            `json:"kind"`
	Source string          `json:"source,omitempty"`
	Level  int             `json:"level"`
	Text   string          `json:"text"`
	Next   string          `json:"next,omitempty"`
	Since  time.Time       `json:"since"`
	Ended  time.Time       `json:"ended,omitzero"`
	Told   map[string]told `json:"told,omitempty"` // by channel
}

type told struct {
	At    time.Time `json:"at"`
	Level int       `json:"level"`
}

// A breakdown is a channel that does not carry.
type breakdown struct {
	Since time.Time `json:"since"`
	Tried time.Time `json:"tried"`
}

// An Outcome is how one message went over one channel.
type Outcome struct {
	Channel string
	Kind    Kind
	Source  string
	Phase   Phase
	Err     error // nil: sent
}

// NewCenter returns a Center that has told nothing yet.
func NewCenter(o Options) *Center {
	o.Remind = cmp.Or(o.Remind, 7*24*time.Hour)
	o.RemindRed = cmp.Or(o.RemindRed, 24*time.Hour)
	o.Timeout = cmp.Or(o.Timeout, time.Minute)
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Center{o: o, state: state{}.whole()}
}

func (s state) whole() state {
	if s.Alerts == nil {
		s.Alerts = map[string]*standing{}
	}
	if s.Failed == nil {
		s.Failed = map[string]*breakdown{}
	}
	if s.Carried == nil {
		s.Carried = map[string]time.Time{}
	}
	return s
}

// MarshalJSON implements json.Marshaler: the state, with no address but the names of
// channels.
func (c *Center) MarshalJSON() ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return json.Marshal(c.state)
}

// UnmarshalJSON implements json.Unmarshaler. After an error the Center is as before:
// what still stands is then told anew.
func (c *Center) UnmarshalJSON(b []byte) error {
	var s state
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("read what was told before: %w", err)
	}
	maps.DeleteFunc(s.Alerts, func(_ string, a *standing) bool { return a == nil })
	maps.DeleteFunc(s.Failed, func(_ string, f *breakdown) bool { return f == nil })
	c.sending.Lock()
	defer c.sending.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state = s.whole()
	return nil
}

// SetChannels puts new channels in the place of the old. A new one is told of what
// stands at the next Update.
func (c *Center) SetChannels(list ...Channel) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.o.Channels = list
}

// SetPractice changes the name that stands in messages.
func (c *Center) SetPractice(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.o.Practice = name
}

// A Carrier is how one channel fares.
type Carrier struct {
	Name    string
	Carried time.Time // when a message was last taken; zero: never
	Failing time.Time // since when it fails; zero: it does not, as far as is known
}

// Carriers returns the channels as they are set now.
func (c *Center) Carriers() (list []Carrier) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, ch := range c.o.Channels {
		one := Carrier{Name: ch.Name(), Carried: c.state.Carried[ch.Name()]}
		if f := c.state.Failed[ch.Name()]; f != nil {
			one.Failing = f.Since
		}
		list = append(list, one)
	}
	return list
}

// A Standing is an alert that stands, and when each channel was told last.
type Standing struct {
	Alert
	Since time.Time
	Told  map[string]time.Time
}

// List returns the alerts that stand, the worst first.
func (c *Center) List() (list []Standing) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range slices.Sorted(maps.Keys(c.state.Alerts)) {
		s := c.state.Alerts[k]
		if !s.Ended.IsZero() {
			continue
		}
		one := Standing{Alert{s.Kind, s.Source, Level(s.Level), Text{s.Text}, Text{s.Next}}, s.Since, map[string]time.Time{}}
		for channel, t := range s.Told {
			one.Told[channel] = t.At
		}
		list = append(list, one)
	}
	slices.SortStableFunc(list, func(a, b Standing) int { return int(b.Level - a.Level) })
	return list
}

// Standing returns how many alerts stand, and the level of the worst.
func (c *Center) Standing() (n int, worst Level) {
	list := c.List()
	if len(list) == 0 {
		return 0, Info
	}
	return len(list), list[0].Level
}

// Update takes everything that is wrong at the moment and tells each channel what it
// does not know yet. Call it after each run and every few minutes: what could not be
// sent is tried again after a quarter of an hour. A channel that fails is itself an
// alert to the others, and holds nothing up for longer than Options.Timeout.
func (c *Center) Update(ctx context.Context, alerts []Alert) []Outcome {
	c.sending.Lock()
	defer c.sending.Unlock()
	outcomes := c.round(ctx, alerts)
	// What this round found of the channels goes out through the others at once.
	return append(outcomes, c.round(ctx, alerts)...)
}

// note brings the state up to what is wrong now; mu is held.
func (c *Center) note(alerts []Alert) {
	now := c.o.Now()
	present := map[string]bool{}
	for _, a := range append(slices.Clone(alerts), c.channelAlerts()...) {
		k := a.key()
		present[k] = true
		s := c.state.Alerts[k]
		if s == nil {
			s = &standing{Kind: a.Kind, Source: a.Source, Since: now, Told: map[string]told{}}
			c.state.Alerts[k] = s
		}
		if !s.Ended.IsZero() || s.Since.After(now) {
			s.Since, s.Ended = now, time.Time{}
		}
		s.Level, s.Text, s.Next = int(a.Level), a.Text.text, a.Next.text
		for channel, t := range s.Told { // what has become better may become worse again
			s.Told[channel] = told{t.At, min(t.Level, s.Level)}
		}
	}
	for k, s := range c.state.Alerts {
		if present[k] {
			continue
		}
		if s.Ended.IsZero() || s.Ended.After(now) {
			s.Ended = now
		}
		if len(s.Told) == 0 || now.Sub(s.Ended) > forget {
			delete(c.state.Alerts, k)
		}
	}
}

// channelAlerts returns an alert for every channel that fails.
func (c *Center) channelAlerts() (list []Alert) {
	for _, ch := range c.o.Channels {
		if f := c.state.Failed[ch.Name()]; f != nil {
			list = append(list, Alert{ChannelDown, ch.Name(), Warning,
				Say("Alerts over %s do not arrive, since %s.", Name(ch.Name()), At(f.Since.In(c.o.Now().Location()))),
				Say("The copy is not touched by this. Look at the alert settings and press the test button there, or run: chartcellar alerts test")})
		}
	}
	return list
}

// A load is what one channel is to be told, and how that went.
type load struct {
	channel  Channel
	standing []*standing
	messages []Message
	outcomes []Outcome
}

// round sends what is to be sent now, over all channels at the same time.
func (c *Center) round(ctx context.Context, alerts []Alert) (all []Outcome) {
	now := c.o.Now()
	loads := c.loads(alerts, now)
	var wg sync.WaitGroup
	for i := range loads {
		l := &loads[i]
		wg.Go(func() { l.outcomes = c.send(ctx, l.channel, l.messages) })
	}
	wg.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range loads {
		for i, o := range l.outcomes {
			c.learn(l.standing[i], o, now)
			all = append(all, o)
		}
	}
	return all
}

func (c *Center) loads(alerts []Alert, now time.Time) (loads []load) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.note(alerts)
	for _, ch := range c.o.Channels {
		if f := c.state.Failed[ch.Name()]; f != nil && !f.Tried.After(now) && now.Sub(f.Tried) < retry {
			continue
		}
		list, messages := c.pending(ch.Name(), now)
		loads = append(loads, load{channel: ch, standing: list, messages: messages})
	}
	return loads
}

// pending returns what a channel is to be told, the worst first.
func (c *Center) pending(channel string, now time.Time) (list []*standing, messages []Message) {
	for _, k := range slices.Sorted(maps.Keys(c.state.Alerts)) {
		if s := c.state.Alerts[k]; c.phase(s, channel, now) != "" {
			list = append(list, s)
		}
	}
	slices.SortStableFunc(list, func(a, b *standing) int { return b.Level - a.Level })
	for _, s := range list {
		messages = append(messages, Message{Practice: c.practice(), Kind: s.Kind, Source: s.Source, Level: Level(s.Level),
			Phase: c.phase(s, channel, now), Text: Text{s.Text}, Next: Text{s.Next},
			Since: s.Since.In(now.Location()), At: now})
	}
	return list, messages
}

func (c *Center) practice() Fact {
	if c.o.Practice == "" {
		return Fact{}
	}
	return Fact{oneLine(c.o.Practice, 60)}
}

// phase says what a channel is to be told of an alert now, "" for nothing.
func (c *Center) phase(s *standing, channel string, now time.Time) Phase {
	t, knows := s.Told[channel]
	remind := c.o.Remind
	if Level(s.Level) >= Red || s.Kind == Sheet {
		remind = c.o.RemindRed
	}
	switch {
	case s.Kind == ChannelDown && s.Source == channel:
		return "" // it knows, if it hears at all
	case !s.Ended.IsZero() && knows:
		return Ended
	case !s.Ended.IsZero():
		return ""
	case !knows:
		return Began
	case s.Level > t.Level:
		return Worse
	case now.Sub(t.At) >= remind || t.At.After(now.Add(time.Hour)): // a clock that went back
		return Still
	}
	return ""
}

// send sends messages in order and gives up at the first that fails.
func (c *Center) send(ctx context.Context, ch Channel, messages []Message) (outcomes []Outcome) {
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	for _, m := range messages {
		err := ch.Send(ctx, m)
		outcomes = append(outcomes, Outcome{ch.Name(), m.Kind, m.Source, m.Phase, err})
		if err != nil {
			break
		}
	}
	return outcomes
}

// learn notes how a message went.
func (c *Center) learn(s *standing, o Outcome, now time.Time) {
	c.heard(o.Channel, o.Err, now)
	switch {
	case o.Err != nil:
	case o.Phase == Ended:
		delete(s.Told, o.Channel)
	default:
		if s.Told == nil {
			s.Told = map[string]told{}
		}
		s.Told[o.Channel] = told{now, s.Level}
	}
}

// heard notes whether a channel carries. A stop of the program says nothing of it.
func (c *Center) heard(channel string, err error, now time.Time) {
	f := c.state.Failed[channel]
	switch {
	case err == nil:
		delete(c.state.Failed, channel)
		c.state.Carried[channel] = now
	case errors.Is(err, context.Canceled):
	case f == nil:
		c.state.Failed[channel] = &breakdown{now, now}
	default:
		f.Tried = now
	}
}

// Tell sends a message that has no end over channels, be they the Center's or not: a
// report, or that settings were changed, which the old address hears too. What
// cannot be sent is not tried again; the outcomes, one for each channel, say so.
func (c *Center) Tell(ctx context.Context, a Alert, channels ...Channel) []Outcome {
	now := c.o.Now()
	c.mu.Lock()
	m := Message{Practice: c.practice(), Kind: a.Kind, Source: a.Source, Level: a.Level, Phase: Once,
		Text: a.Text, Next: a.Next, Since: now, At: now}
	c.mu.Unlock()
	outcomes := make([]Outcome, len(channels))
	var wg sync.WaitGroup
	for i, ch := range channels {
		wg.Go(func() { outcomes[i] = c.send(ctx, ch, []Message{m})[0] })
	}
	wg.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, o := range outcomes {
		if slices.ContainsFunc(c.o.Channels, func(ch Channel) bool { return ch.Name() == o.Channel }) {
			c.heard(o.Channel, o.Err, now)
		}
	}
	return outcomes
}

// Channels returns the channels as they were set last.
func (c *Center) Channels() []Channel {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.o.Channels)
}

// Test sends a test message over every channel, also over those that fail, and says
// how each went.
func (c *Center) Test(ctx context.Context) []Outcome {
	return c.Tell(ctx, Alert{Kind: Trial, Level: Info,
		Text: Say("alerts arrive here."), Next: Say("Nothing. Somebody pressed the test button.")}, c.Channels()...)
}
