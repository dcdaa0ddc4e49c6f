package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"chartcellar/fhirsync"
	"chartcellar/store"
	"chartcellar/store/verify"
)

// TestLossOnPages: the page of a check, and that of a loss, say whose records they
// concern and of which days; the number of records shown falls with a loss.
func TestLossOnPages(t *testing.T) {
	n := newNights(t, 3)
	n.pull(fhirsync.Complete)
	parts, err := n.m.Parts()
	if err != nil {
		t.Fatal(err)
	}
	name := ""
	for _, p := range parts {
		if len(p.Types) > 0 {
			name = verify.PartName(p.Number)
		}
	}
	if err := os.Remove(filepath.Join(n.m.Dir(), filepath.FromSlash(name))); err != nil {
		t.Fatal(err)
	}
	check := func(want ...string) {
		t.Helper()
		result, err := verify.Run(t.Context(), n.m, verify.Options{Depth: verify.Full})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := n.m.Record(t.Context(), store.RunSpec{Kind: "verify"}, verdictOfCheck(result), result); err != nil {
			t.Fatal(err)
		}
		n.shows(want...)
	}
	harm := "3 states of records (1 DocumentReference, 1 Observation, 1 Patient). They belong to 1 patient. They were fetched from the EMR on " +
		n.now.Local().Format("2 January 2006")
	check("Damaged: "+name+": missing", harm)
	if err := n.m.DeclareLost(t.Context(), "owner", name); err != nil {
		t.Fatal(err)
	}
	n.shows("Declared lost: "+name, harm)
	check("Declared lost on "+n.now.Format("2 January 2006")+": "+name, harm, "every byte is what was written")
	o := n.office("daily 02:00")
	runs, err := n.m.Runs()
	if err != nil {
		t.Fatal(err)
	}
	if got := countedRun(runs); got != runs[1].Number {
		t.Errorf("counted as of run %d, want the loss in run %d", got, runs[1].Number)
	}
	lines, _, err := o.Runs(t.Context(), 0, 10)
	if err != nil || lines[1].Kind != "repair" || lines[1].Verdict != "lost" {
		t.Errorf("the list of runs: %+v, %v", lines, err)
	}
}

// shows fails unless the notes on the page of the newest run have all of these.
func (n *nights) shows(want ...string) {
	n.t.Helper()
	runs, err := n.m.Runs()
	if err != nil {
		n.t.Fatal(err)
	}
	page, err := n.office("daily 02:00").Run(n.t.Context(), runs[0].Number)
	if err != nil {
		n.t.Fatal(err)
	}
	for _, w := range want {
		if !strings.Contains(strings.Join(page.Notes, "\n"), w) {
			n.t.Errorf("run %d shows %q, want %q", runs[0].Number, page.Notes, w)
		}
	}
}
