// Package notify tells people and their watching services that something is wrong,
// that it is well again, and what happened: by mail, a command, an outgoing ping and
// a status file.
//
// No record can leave through it. A Message is made of sentences that stand in our
// sources (Sentence) and of facts of a few types: counts, times, spans, sizes, and
// names of sources, accounts and resource types. There is no way to put free text
// into one; only a caller who passes a patient's name to Name could misuse it.
//
// The package decides nothing about the mirror: the caller says what is wrong at
// the moment, and a Center works out what is new about that and who has not heard.
package notify

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// A Kind is what an alert is about.
type Kind string

// The kinds of alerts.
const (
	Overdue     Kind = "overdue"
	Failed      Kind = "failed"
	Held        Kind = "held"         // waiting for a decision
	Gaps        Kind = "gaps"         // older than the practice wants
	Disk        Kind = "disk"         // filling
	SignIn      Kind = "sign-in"      // refused, or about to end
	Key         Kind = "key"          // about to end
	Consent     Kind = "consent"      // about to end
	Damage      Kind = "damage"       // found by a verification
	Differs     Kind = "differs"      // the copy is not what the EMR has
	SecondCopy  Kind = "second-copy"  // late, damaged, refused, or not swapped
	Drill       Kind = "drill"        // overdue, or not passed
	FolderGone  Kind = "folder-gone"  // the mirror's folder
	OlderMirror Kind = "older-mirror" // put in the place of the newer
	ClockBack   Kind = "clock-back"   // the clock was set back
	LowTrust    Kind = "low-trust"    // in the time
	Sheet       Kind = "sheet"        // of an evening, for a day without an EMR: not made
	Holding     Kind = "holding"      // files beside the records: late, or not as usual
	Changed     Kind = "changed"      // settings, keys, accounts, destinations
	Report      Kind = "report"
	ChannelDown Kind = "channel" // a channel of this package fails
	Trial       Kind = "test"
)

// A Level is how much it matters.
type Level int

// The levels.
const (
	Info Level = iota
	Warning
	Red
)

// String returns "for information", "warning" or "urgent".
func (l Level) String() string {
	switch {
	case l <= Info:
		return "for information"
	case l == Warning:
		return "warning"
	}
	return "urgent"
}

// MarshalText implements encoding.TextMarshaler.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// A Sentence is text that stands in our sources, with "%s" for each fact. A text
// that is put together at run time must never be converted to it.
type Sentence string

// A Fact is what stands in a sentence; only the functions below make one.
type Fact struct{ text string }

// String returns the fact as people read it.
func (f Fact) String() string { return f.text }

// Count is a number of things.
func Count(n int) Fact { return Fact{fmt.Sprint(n)} }

// Several is a number of things with their name: "1 gap", "3 gaps".
func Several(n int, one, many Sentence) Fact {
	if n == 1 {
		return Fact{"1 " + string(one)}
	}
	return Fact{fmt.Sprintf("%d %s", n, many)}
}

// Day is a day, in the zone that t has.
func Day(t time.Time) Fact { return Fact{t.Format("2 Jan 2006")} }

// At is a moment, in the zone that t has.
func At(t time.Time) Fact {
	if t.IsZero() {
		return Fact{"never"}
	}
	return Fact{t.Format("Mon 2 Jan 2006, 15:04 MST")}
}

// For is a length of time, rounded down to what people say of it.
func For(d time.Duration) Fact {
	switch {
	case d < 0:
		return Fact{"an unknown time"}
	case d < time.Hour:
		return Fact{fmt.Sprintf("%d min", d/time.Minute)}
	case d < 48*time.Hour:
		return Fact{fmt.Sprintf("%d h", d/time.Hour)}
	}
	return Fact{fmt.Sprintf("%d days", d/(24*time.Hour))}
}

// Size is a number of bytes.
func Size(n int64) Fact {
	for _, u := range []struct {
		unit string
		size int64
	}{{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}} {
		if n >= u.size {
			return Fact{fmt.Sprintf("%.1f %s", float64(n)/float64(u.size), u.unit)}
		}
	}
	return Fact{fmt.Sprintf("%d bytes", n)}
}

// Digest is a fingerprint, as many hexadecimal digits of it as people compare.
func Digest(sum []byte) Fact { return Fact{fmt.Sprintf("%x", sum[:min(len(sum), 8)])} }

// Name is the name of a source, an account, a kind of job, a second copy or a
// resource type. What does not look like one is replaced by "(name withheld)".
func Name(s string) Fact {
	if !regexp.MustCompile(`^[\p{L}\p{N}][\p{L}\p{N} ._@+-]{0,62}$`).MatchString(s) {
		return Fact{"(name withheld)"}
	}
	return Fact{s}
}

// A Text is a sentence with its facts.
type Text struct{ text string }

// Say puts facts into a sentence. One fact too few or too many shows in the text.
func Say(s Sentence, facts ...Fact) Text {
	list := make([]any, len(facts))
	for i, f := range facts {
		list[i] = f
	}
	return Text{fmt.Sprintf(string(s), list...)}
}

// Lines puts texts under each other, as in a report.
func Lines(texts ...Text) Text { return Join("\n", texts...) }

// Join puts texts behind each other.
func Join(between Sentence, texts ...Text) Text {
	list := make([]string, len(texts))
	for i, t := range texts {
		list[i] = t.text
	}
	return Text{strings.Join(list, string(between))}
}

// String returns the text.
func (t Text) String() string { return t.text }

// MarshalText implements encoding.TextMarshaler. There is no way back.
func (t Text) MarshalText() ([]byte, error) { return []byte(t.text), nil }

// A Phase is where in its life an alert is.
type Phase string

// The phases.
const (
	Began Phase = "began"
	Worse Phase = "worse" // its level has risen
	Still Phase = "still" // a reminder
	Ended Phase = "ended" // all well again
	Once  Phase = "once"  // a report or a change: it has no end
)

// A Message is what a channel carries.
type Message struct {
	Practice Fact
	Kind     Kind
	Source   string
	Level    Level
	Phase    Phase
	Text     Text // what is
	Next     Text // what to do
	Since    time.Time
	At       time.Time
}

// A Channel is one way to one receiver.
type Channel interface {
	// Name says which, as people know it; it holds no secret. It is the same after
	// a restart and differs from those of the other channels.
	Name() string
	// Send returns nil when the receiver, or who carries on from here, has the
	// message. Its errors are sentences; it returns when ctx ends at the latest.
	Send(ctx context.Context, m Message) error
}

// source returns the source's name if it looks like one.
func (m Message) source() string {
	if m.Source == "" {
		return ""
	}
	return Name(m.Source).text
}

// Subject returns one line that says it all.
func (m Message) Subject() string {
	text, _, _ := strings.Cut(m.Text.text, "\n")
	switch {
	case m.Kind == Trial:
		text = "Test: " + text
	case m.Phase == Ended:
		text = "All well again: " + text
	case m.Phase == Still:
		text = "Still: " + text
	case m.Level == Red:
		text = "Urgent: " + text
	}
	if m.Practice.text != "" {
		text = m.Practice.text + ": " + text
	}
	return oneLine(text, 150)
}

// Body returns the message as plain text.
func (m Message) Body() string {
	var b strings.Builder
	if m.Phase == Ended {
		fmt.Fprintf(&b, "This is over:\n\n")
	}
	fmt.Fprintf(&b, "%s\n", m.Text)
	if m.Next.text != "" && m.Phase != Ended {
		fmt.Fprintf(&b, "\nWhat to do: %s\n", m.Next)
	}
	fmt.Fprintln(&b)
	if m.Source != "" {
		fmt.Fprintf(&b, "Source: %s\n", m.source())
	}
	if m.Phase != Once {
		fmt.Fprintf(&b, "Since: %s\n", At(m.Since))
	}
	fmt.Fprintf(&b, "Sent: %s\n", At(m.At))
	fmt.Fprintf(&b, "\nchartcellar on the practice's own computer. This message names no patient.\n")
	return b.String()
}

// oneLine makes a line of a text: no control characters, and not too long.
func oneLine(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029 {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if r := []rune(s); len(r) > limit {
		return string(r[:limit-1]) + "…"
	}
	return s
}
