package main

import (
	"strings"
	"testing"

	"chartcellar/config"
	"chartcellar/store"
)

// TestOnlyBy: a content goes to the copies of all holdings that have it, and to all copies
// once one of these leaves the choice open or is no longer in the settings.
func TestOnlyBy(t *testing.T) {
	only := onlyBy(config.Settings{Holdings: []config.Holding{{Name: "a", Copies: []string{"usb", "nas"}},
		{Name: "b", Copies: []string{"far", "nas"}}, {Name: "open"}}})
	for holdings, want := range map[string]string{"a": "nas usb", "a b": "far nas usb", "open": "", "a open": "", "gone": "", "b gone": ""} {
		if got := strings.Join(only(store.Choice{Holdings: strings.Fields(holdings), Copies: []string{"old"}}), " "); got != want {
			t.Errorf("of %s: %q, want %q", holdings, got, want)
		}
	}
}

// TestApartIsShown: the page of the copies says what is not there by choice.
func TestApartIsShown(t *testing.T) {
	st := copyState{Name: "far"}
	st.Last.Apart = []store.Apart{{Choice: store.Choice{Holdings: []string{"dumps"}, Copies: []string{"nas", "usb"}}, Files: 3, Bytes: 50 << 30}}
	out := shownCopy(config.Copy{Name: "far", Folder: "/mnt/far"}, st)
	if len(out.Apart) != 1 || out.Apart[0] != "3 large files of the holding dumps (51200 MB) are not in this copy by choice: they go to nas and usb only." {
		t.Errorf("shown: %q", out.Apart)
	}
}
