package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestOnCopy: started without a word from a second copy, the program shows it; anywhere
// else, or with a word, it does what it is told.
func TestOnCopy(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, readMeName), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	look := []string{"serve", "--read-only", root}
	tests := []struct {
		name string
		own  string
		args []string
		want []string
	}{
		{"on a copy", filepath.Join(root, "programs", "0.1.0", "chartcellar-linux-amd64"), nil, look},
		{"on a copy, with a word", filepath.Join(root, "programs", "0.1.0", "chartcellar-linux-amd64"), []string{"version"}, []string{"version"}},
		{"in another folder of it", filepath.Join(root, "mine", "0.1.0", "chartcellar"), nil, nil},
		{"elsewhere", filepath.Join(t.TempDir(), "programs", "0.1.0", "chartcellar"), nil, nil},
	}
	for _, tt := range tests {
		if got := onCopy(tt.own, tt.args); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
