package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"chartcellar/cmd/chartcellar/internal/health"
	"chartcellar/cmd/chartcellar/internal/notify"
	"chartcellar/config"
	"chartcellar/fhirsync/schedule"
	"chartcellar/store"
	"chartcellar/store/holding"
)

// A beside is a holding as it stands: what it has, and what is wrong with it.
type beside struct {
	holding.Summary
	trouble holding.Trouble
}

// besidesOf judges every holding, in the order of the names: those that have files, and
// those that the settings name.
func besidesOf(s config.Settings, m *store.Mirror, read *readings, now time.Time) ([]beside, error) {
	kept, err := read.holdings(m)
	if err != nil {
		return nil, err
	}
	kept = slices.Clone(kept)
	for _, h := range s.Holdings {
		if !slices.ContainsFunc(kept, func(k holding.Summary) bool { return k.Name == h.Name }) {
			kept = append(kept, holding.Summary{Name: h.Name})
		}
	}
	slices.SortFunc(kept, func(a, b holding.Summary) int { return strings.Compare(a.Name, b.Name) })
	list := make([]beside, 0, len(kept))
	for _, k := range kept {
		h, _ := s.Holding(k.Name)
		var since time.Time
		if len(k.Deliveries) == 0 {
			st, err := memory{m}.Load(schedule.Job{Source: k.Name, Kind: schedule.Holding})
			if err != nil {
				return nil, err
			}
			since = st.Since
		}
		list = append(list, beside{k, k.Judge(h.Expected, since, now)})
	}
	return list, nil
}

// wrong says what is wrong with a holding, the worst first.
func (b beside) wrong() (list []notify.Text) {
	say := func(s notify.Sentence, facts ...notify.Fact) {
		list = append(list, notify.Say(s, append([]notify.Fact{notify.Name(b.Name)}, facts...)...))
	}
	t := b.trouble
	if t.Never {
		say("Nothing has come for the holding %s yet; something is expected %s.", notify.Name(t.Ordered))
	}
	if t.Late {
		say("Nothing new has come for the holding %s for %s; something is expected %s.", notify.For(t.Age), notify.Name(t.Ordered))
	}
	if t.Broken != nil {
		say("What came last for the holding %s was not whole when it came.")
	}
	if t.Half != nil {
		say("What came last for the holding %s has %s, where %s are usual.", notify.Size(t.Half.Size), notify.Size(t.Usual))
	}
	if t.Equal != nil {
		say("What came last for the holding %s is the same as what came before it.")
	}
	return list
}

// next says what to do about the worst of it.
func (b beside) next() notify.Text {
	switch t := b.trouble; {
	case t.Never, t.Late:
		return notify.Say("Nothing that was kept is lost. See whether the export or dump was made, and that it is left in the folder that is watched: chartcellar holding list")
	case t.Broken != nil:
		return notify.Say("It is kept as it came, and so is what came before. Have it made or fetched again.")
	case t.Half != nil:
		return notify.Say("It is kept as it came, and so is what came before. Have whoever makes it look whether something is missing.")
	}
	return notify.Say("It is kept. If nothing was changed meanwhile that is right; else what makes it may be standing still.")
}

// besides gathers what is to be said of holdings.
func (f *factFinder) besides() error {
	list, err := besidesOf(f.s, f.m, f.read, f.now)
	for _, b := range list {
		h := health.Holding{Name: b.Name, Files: b.Files, Newest: b.Newest()}
		if wrong := b.wrong(); len(wrong) > 0 {
			h.Wrong = wrong[0].String()
		}
		f.in.Holdings = append(f.in.Holdings, h)
	}
	return err
}

// holdings says what is wrong with the files beside the records: that they cannot be
// kept, or that they are not as they should be.
func (w watch) holdings() (list []notify.Alert) {
	for _, b := range w.besides {
		a := notify.Alert{Kind: notify.Holding, Source: b.Name, Level: notify.Warning}
		t, failing := w.jobs[schedule.Job{Source: b.Name, Kind: schedule.Holding}.String()]
		wrong := b.wrong()
		switch {
		case failing && (t.Tries >= patience || t.Cause == causeFull):
			words := holdingCause(t.Cause)
			a.Text, a.Next = notify.Say(words[0], notify.Name(b.Name), w.at(t.Since)), notify.Say(words[1])
		case len(wrong) > 0:
			a.Text, a.Next = wrong[0], b.next()
		default:
			continue
		}
		list = append(list, a)
	}
	return list
}

// holdingCause is what is said when the files of a holding cannot be kept, since when;
// and what to do.
func holdingCause(c obstacle) [2]notify.Sentence {
	switch c {
	case causeFolder:
		return [2]notify.Sentence{"The folder of the holding %s is not there, since %s; nothing new in it is kept.",
			"Nothing that was kept is lost. See that the disk or share with it is connected and that chartcellar may read it. Try: chartcellar holding watch"}
	case causeAway:
		return [2]notify.Sentence{"The server of the holding %s does not answer, since %s; nothing new in it is kept.",
			"Nothing that was kept is lost. See that the server is on and that this computer can reach it. Try: chartcellar holding watch"}
	case causeRefused:
		return [2]notify.Sentence{"The server of the holding %s refuses our sign-in or shows another fingerprint than before, since %s; nothing new in it is kept.",
			"Nothing that was kept is lost. Run: chartcellar holding watch. It says which; then ask whoever runs the server."}
	case causeFull:
		return [2]notify.Sentence{"There is no room on the disk for a new file of the holding %s, since %s; it is not kept.",
			"Nothing that was kept is lost, and the file still lies in its folder. Make room on the disk, or have a larger one put in."}
	case causeFiles:
		return [2]notify.Sentence{"Files of the holding %s cannot be read, since %s, and are not kept.",
			"The others are kept. Which, and why: chartcellar holding watch"}
	}
	return [2]notify.Sentence{"The files of the holding %s cannot be kept, since %s.",
		"Nothing that was kept is lost. Run: chartcellar holding watch. It says what is wrong."}
}

// A holdingReport is what came for one holding between two days.
type holdingReport struct {
	Name   string    `json:"name"`
	Came   int       `json:"came"`   // deliveries
	Newest time.Time `json:"newest"` // of all before the end
}

// reportHoldings adds up what came until to, and since from; a holding of which nothing
// had come by then is left out.
func reportHoldings(m *store.Mirror, from, to time.Time) ([]holdingReport, error) {
	kept, err := (*readings)(nil).holdings(m)
	list := []holdingReport{}
	for _, k := range kept {
		r := holdingReport{Name: k.Name}
		for _, d := range k.Deliveries {
			if !d.At.Before(to) {
				continue
			}
			r.Newest = d.At
			if !d.At.Before(from) {
				r.Came++
			}
		}
		if !r.Newest.IsZero() {
			list = append(list, r)
		}
	}
	return list, err
}

// outsideWords say of each thing that FHIR does not give where it is, if anywhere; then
// what else holdings cover.
func outsideWords(kept []holding.Summary) []string {
	var list []string
	known := map[string]bool{}
	for _, o := range outside {
		known[o[0]] = true
		list = append(list, o[1]+onlyIn(kept, o[0]))
	}
	for _, k := range kept {
		for _, w := range k.Words() {
			if !known[w] {
				known[w] = true
				list = append(list, w+onlyIn(kept, w))
			}
		}
	}
	return list
}

// onlyIn says which holdings cover a word, and of when.
func onlyIn(kept []holding.Summary, word string) string {
	var in []string
	for _, k := range kept {
		for _, c := range k.Covers {
			if c.Word == word {
				in = append(in, fmt.Sprintf("%s of %s", k.Name, c.At.Local().Format("2 January 2006")))
			}
		}
	}
	if len(in) == 0 {
		return ""
	}
	return fmt.Sprintf(" (%s: only in the holding %s)", word, strings.Join(in, ", "))
}

// filedWords say what is filed beside the records.
func filedWords(kept []holding.Summary) string {
	var list []string
	for _, k := range kept {
		if len(k.Deliveries) > 0 {
			list = append(list, fmt.Sprintf("%s, of %s", k.Name, k.Newest().Local().Format("2 January 2006")))
		}
	}
	if len(list) == 0 {
		return "nothing yet; file one with chartcellar holding add"
	}
	return strings.Join(list, "; ")
}
