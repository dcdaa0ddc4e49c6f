package fakeemr

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"
)

func (e *EMR) serveSmart(w http.ResponseWriter, _ *http.Request) {
	if s := e.Faults().NoSmartConfig; s != 0 {
		outcome(w, s, "not-found", "none")
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"token_endpoint": e.TokenURL(),
		"token_endpoint_auth_methods_supported": []string{"private_key_jwt", "client_secret_basic",
			"client_secret_post"},
		"token_endpoint_auth_signing_alg_values_supported": e.algs(),
		"grant_types_supported":                            []string{"client_credentials"},
		"scopes_supported":                                 []string{"system/*.rs"},
		"capabilities":                                     []string{"client-confidential-asymmetric", "permission-v2"},
	})
}

func (e *EMR) serveMetadata(w http.ResponseWriter, _ *http.Request) {
	f := e.Faults()
	version := "4.0.1"
	if f.FHIRVersion != "" {
		version = f.FHIRVersion
	}
	resources := []any{}
	for _, t := range e.Types() {
		if !e.o.HideBinary || t != "Binary" {
			resources = append(resources, e.statementOf(t))
		}
	}
	rest := map[string]any{"mode": "server", "resource": resources,
		"security": map[string]any{"extension": []any{map[string]any{
			"url":       "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris",
			"extension": []any{map[string]string{"url": "token", "valueUri": e.TokenURL()}}}}}}
	if !e.o.NoExport {
		rest["operation"] = exportOperation
	}
	body, _ := json.Marshal(map[string]any{ // maps of strings can be encoded
		"resourceType": "CapabilityStatement", "status": "active", "kind": "instance",
		"fhirVersion": version, "format": []string{"json"}, "date": "2026-01-01",
		"software":       map[string]string{"name": "EMR in a box", "version": "1"},
		"implementation": map[string]string{"description": "an invented practice", "url": e.BaseURL()},
		"rest":           []any{rest},
	})
	sendBundle(w, body)
}

var exportOperation = []any{map[string]string{"name": "export",
	"definition": "http://hl7.org/fhir/uv/bulkdata/OperationDefinition/export"}}

// statementOf is what the capability statement says of one type.
func (e *EMR) statementOf(typ string) map[string]any {
	codes := []any{map[string]string{"code": "read"}}
	r := map[string]any{"type": typ, "versioning": "versioned", "conditionalRead": "not-match"}
	if e.searchable(typ) {
		codes = append(codes, map[string]string{"code": "search-type"})
		search := []any{map[string]string{"name": "_lastUpdated", "type": "date"},
			map[string]string{"name": "_id", "type": "token"}}
		if slices.Contains(compartment, typ) {
			search = append(search, map[string]string{"name": "patient", "type": "reference"})
		}
		r["searchParam"] = search
	}
	if !e.o.NoHistory && e.listed(typ) {
		codes = append(codes, map[string]string{"code": "history-type"}, map[string]string{"code": "history-instance"})
	}
	r["interaction"] = codes
	if (typ == "Patient" || typ == "Group") && !e.o.NoExport {
		r["operation"] = exportOperation
	}
	return r
}

// serveTwo answers paths of two parts below the base.
func (e *EMR) serveTwo(w http.ResponseWriter, r *http.Request) {
	switch r.PathValue("id") {
	case "_search":
		e.serveSearch(w, r)
	case "_history":
		e.serveHistory(w, r, "")
	default:
		e.serveRead(w, r)
	}
}

// serveThree answers paths of three parts below the base.
func (e *EMR) serveThree(w http.ResponseWriter, r *http.Request) {
	if r.PathValue("rest") != "_history" {
		outcome(w, http.StatusNotFound, "not-found", "there is no such path")
		return
	}
	e.serveHistory(w, r, r.PathValue("id"))
}

func (e *EMR) serveRead(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		e.refuseWrite(w)
		return
	}
	if !e.authorized(w, r) {
		return
	}
	e.count(func(s *Served) { s.Reads++ })
	f := e.Faults()
	if f.OnRead != nil {
		f.OnRead(e.Served().Reads)
	}
	typ, id := r.PathValue("type"), r.PathValue("id")
	if slices.Contains(f.RefuseRead, typ) || slices.Contains(f.RefuseRead, typ+"/"+id) {
		outcome(w, http.StatusForbidden, "forbidden", "this record is withheld")
		return
	}
	if typ == "Binary" {
		e.serveBinary(w, r, id, f)
		return
	}
	line, status := e.look(typ, id, e.clock.Now())
	if status != http.StatusOK {
		notThere(w, status)
		return
	}
	if notModified(w, r, line) {
		return
	}
	sendBundle(w, e.render(typ, line, &f, false))
}

func notThere(w http.ResponseWriter, status int) {
	code := "not-found"
	if status == http.StatusGone {
		code = "deleted"
	}
	outcome(w, status, code, "not there")
}

// notModified sets ETag and Last-Modified, and answers 304 to a client that
// has this version.
func notModified(w http.ResponseWriter, r *http.Request, line []byte) bool {
	h := headOf(line)
	if t, err := time.Parse(time.RFC3339Nano, h.stamp); err == nil {
		w.Header().Set("Last-Modified", t.UTC().Format(http.TimeFormat))
	}
	if h.version == "" {
		return false
	}
	w.Header().Set("ETag", `W/"`+h.version+`"`)
	for _, one := range strings.Split(r.Header.Get("If-None-Match"), ",") {
		if strings.TrimPrefix(strings.TrimSpace(one), "W/") == `"`+h.version+`"` {
			w.WriteHeader(http.StatusNotModified)
			return true
		}
	}
	return false
}
