package rest

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
)

// A Capability is what a server says it can do (P6).
type Capability struct {
	Software    string
	FHIRVersion string
	Types       []string // resource types it names, sorted, each once
	Search      []string // types it says can be searched, sorted
	History     []string // types it says give their history
	Reads       []string // those it says can be read one by one
	Export      Exports
	Raw         []byte
}

// Exports are the levels at which a server says it exports.
type Exports struct{ System, Patient, Group bool }

// Capability reads the capability statement. A server that is not FHIR 4.0 is
// an *Error of kind WrongVersion.
func (c *Client) Capability(ctx context.Context) (Capability, error) {
	resp, err := c.Do(ctx, Request{URL: "metadata", Class: "capability statement", NoToken: true})
	if Is(err, SignIn) { // gated: some ask for a token (P2)
		resp, err = c.Do(ctx, Request{URL: "metadata", Class: "capability statement"})
	}
	if err != nil {
		return Capability{}, err
	}
	return ParseCapability(resp.Body)
}

// ParseCapability reads a capability statement; it tolerates unknown codes and
// types that are listed twice.
func ParseCapability(body []byte) (Capability, error) {
	type operation struct{ Name string }
	var m struct {
		ResourceType string
		FHIRVersion  string `json:"fhirVersion"`
		Software     struct{ Name, Version string }
		Rest         []struct {
			Operation []operation
			Resource  []struct {
				Type        string
				Interaction []struct{ Code string }
				Operation   []operation
			}
		}
	}
	if err := json.Unmarshal(body, &m); err != nil || m.ResourceType != "CapabilityStatement" {
		return Capability{}, &Error{Kind: NotFHIR, Class: "capability statement"}
	}
	out := Capability{Software: strings.TrimSpace(m.Software.Name + " " + m.Software.Version),
		FHIRVersion: m.FHIRVersion, Raw: body}
	exports := func(list []operation) bool {
		return slices.ContainsFunc(list, func(o operation) bool {
			return o.Name == "export" || strings.HasSuffix(o.Name, "-export")
		})
	}
	for _, r := range m.Rest {
		out.Export.System = out.Export.System || exports(r.Operation)
		for _, t := range r.Resource {
			out.Types = add(out.Types, t.Type)
			for _, i := range t.Interaction {
				switch i.Code {
				case "read":
					out.Reads = add(out.Reads, t.Type)
				case "search-type":
					out.Search = add(out.Search, t.Type)
				case "history-type":
					out.History = add(out.History, t.Type)
				}
			}
			out.Export.Patient = out.Export.Patient || t.Type == "Patient" && exports(t.Operation)
			out.Export.Group = out.Export.Group || t.Type == "Group" && exports(t.Operation)
		}
	}
	if !strings.HasPrefix(m.FHIRVersion, "4.0") {
		return out, &Error{Kind: WrongVersion, Class: "capability statement", Detail: m.FHIRVersion}
	}
	return out, nil
}

// add inserts a name into a sorted list without repeating it.
func add(list []string, name string) []string {
	i, found := slices.BinarySearch(list, name)
	if found {
		return list
	}
	return slices.Insert(list, i, name)
}

// A ReadState is what reading one resource found.
type ReadState int

// The states of a read.
const (
	Found   ReadState = iota
	Deleted           // 410: it was deleted
	Missing           // 404: it is not there, or not for us
)

// Read reads one resource; the bytes are as the server sent them.
func (c *Client) Read(ctx context.Context, typ, id string) ([]byte, ReadState, error) {
	resp, err := c.Do(ctx, Request{URL: typ + "/" + id, Class: "read of " + typ})
	switch {
	case Is(err, Gone):
		return nil, Deleted, nil
	case Is(err, NotFound):
		return nil, Missing, nil
	case err != nil:
		return nil, Missing, err
	}
	return resp.Body, Found, nil
}
