package rest_test

import (
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"chartcellar/fhirsync/rest"
)

// A hop is a server that counts and sends on to where a test says.
type hop struct {
	url  string
	to   atomic.Value // string; "" answers
	seen atomic.Int32
	auth atomic.Int32
}

func newHop(t *testing.T) *hop {
	t.Helper()
	h := &hop{}
	h.to.Store("")
	h.url = serve(t, func(w http.ResponseWriter, r *http.Request) {
		h.seen.Add(1)
		if r.Header.Get("Authorization") != "" {
			h.auth.Add(1)
		}
		if to := h.to.Load().(string); to != "" {
			http.Redirect(w, r, to, http.StatusTemporaryRedirect)
			return
		}
		w.Write([]byte("{}"))
	})
	return h
}

// TestFileOrigin: files are fetched from one place beside the EMR, the first that
// is met or those a person has named; anywhere else nothing is sent.
func TestFileOrigin(t *testing.T) {
	emr, storage, evil := newHop(t), newHop(t), newHop(t)
	var told []string
	dial := func(files []string, pin func(string) error) *rest.Client {
		c, err := rest.New(rest.Options{Base: emr.url, Local: true, Rate: -1, Tries: 1, Wait: time.Microsecond,
			FileOrigins: files, NewFileOrigin: pin})
		if err != nil {
			t.Fatal(err)
		}
		c.SetTokens(&tokens{})
		t.Cleanup(c.CloseIdle)
		return c
	}
	fetch := func(c *rest.Client, url, to string) error {
		emr.to.Store(to)
		s, err := c.Stream(t.Context(), rest.Request{URL: url, Class: "file"})
		if err == nil {
			s.Body.Close()
		}
		return err
	}
	note := func(o string) error { told = append(told, o); return nil }
	first := dial(nil, note)
	for range 2 {
		if err := fetch(first, "x", storage.url+"/signed"); err != nil {
			t.Errorf("the first storage: %v", err)
		}
	}
	if len(told) != 1 || told[0] != storage.url {
		t.Errorf("told of %v, want %s once", told, storage.url)
	}
	named := dial([]string{storage.url}, note)
	nobody := dial([]string{}, note)
	refusing := dial(nil, func(string) error { return errors.New("not kept") })
	tests := []struct {
		name    string
		c       *rest.Client
		url, to string
		onward  string // where the storage sends on
	}{
		{"another storage", first, "x", evil.url + "/x", ""},
		{"another storage in the manifest", first, evil.url + "/x", "", ""},
		{"a storage that is not named", named, "x", evil.url + "/x", ""},
		{"no storage is named", nobody, "x", storage.url + "/x", ""},
		{"on from the storage", named, "x", storage.url + "/x", evil.url + "/x"},
		{"back from the storage", named, "x", storage.url + "/x", emr.url + "/y"},
		{"the storage could not be noted", refusing, "x", evil.url + "/x", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			storage.to.Store(tt.onward)
			err := fetch(tt.c, tt.url, tt.to)
			if err == nil || tt.c != refusing && !rest.Is(err, rest.Elsewhere) {
				t.Errorf("Stream = %v, want another origin", err)
			}
		})
	}
	if evil.seen.Load() > 0 || storage.auth.Load() > 0 {
		t.Errorf("evil saw %d requests, the storage %d tokens", evil.seen.Load(), storage.auth.Load())
	}
	for _, bad := range []string{"http://storage.example", "https://u@storage.example", "https://storage.example/path", "storage.example"} {
		if _, err := rest.New(rest.Options{Base: "https://emr.example/fhir", FileOrigins: []string{bad}}); !rest.Is(err, rest.UnsafeURL) {
			t.Errorf("New with the file origin %s = %v", bad, err)
		}
		if _, err := rest.New(rest.Options{Base: "https://emr.example/fhir", Origins: []string{bad}}); !rest.Is(err, rest.UnsafeURL) {
			t.Errorf("New with the origin %s = %v", bad, err)
		}
	}
}
