package fakeemr

import (
	"net/http"
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
		"token_endpoint_auth_signing_alg_values_supported": []string{"RS384", "ES384"},
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
	export := []any{map[string]string{"name": "export",
		"definition": "http://hl7.org/fhir/uv/bulkdata/OperationDefinition/export"}}
	resources := []any{}
	for _, t := range e.Types() {
		r := map[string]any{"type": t, "interaction": []any{map[string]string{"code": "read"}}}
		if t == "Patient" || t == "Group" {
			r["operation"] = export
		}
		resources = append(resources, r)
	}
	w.Header().Set("Content-Type", "application/fhir+json")
	writeJSON(w, http.StatusOK, map[string]any{
		"resourceType": "CapabilityStatement", "status": "active", "kind": "instance",
		"fhirVersion": version, "format": []string{"json"}, "date": "2026-01-01",
		"software": map[string]string{"name": "EMR in a box", "version": "1"},
		"rest": []any{map[string]any{"mode": "server", "resource": resources, "operation": export,
			"security": map[string]any{"extension": []any{map[string]any{
				"url":       "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris",
				"extension": []any{map[string]string{"url": "token", "valueUri": e.TokenURL()}}}}}}},
	})
}

func (e *EMR) serveRead(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		e.count(func(s *Served) { s.Writes++ })
		outcome(w, http.StatusMethodNotAllowed, "not-supported", "read only")
		return
	}
	if !e.authorized(w, r) {
		return
	}
	e.count(func(s *Served) { s.Reads++ })
	line, status := e.look(r.PathValue("type"), r.PathValue("id"), e.clock.Now())
	if status != http.StatusOK {
		outcome(w, status, "not-found", "not there")
		return
	}
	w.Header().Set("Content-Type", "application/fhir+json")
	w.Write(line)
}
