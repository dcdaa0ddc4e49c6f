package font_test

import (
	"testing"

	"chartcellar/store/keys/font"
)

func TestLacks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, text, want string }{
		{"plain", "Miller, Ann 1970", ""},
		{"accents of Europe", "Ångström Łukasz Şahin Dvořák Œ ß", ""},
		{"Greek and Cyrillic", "Παπαδόπουλος Иванов", ""},
		{"signs of a chart", "°C µg ≤ ≥ ± → … □ ½", ""},
		{"Chinese", "Wang 王小明 王", "王小明"},
		{"Devanagari", "अनिल", "अनिल"},
		{"letters that read from right to left", "כהן עלי علي", "כהןעליعلي"},
		{"a face and a letter outside the basic plane", "😀𐐷", "😀𐐷"},
	} {
		if got := string(font.Lacks(c.text)); got != c.want {
			t.Errorf("%s: Lacks(%q) = %q, want %q", c.name, c.text, got, c.want)
		}
	}
}
