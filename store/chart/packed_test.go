package chart_test

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"chartcellar/store/chart"
	"chartcellar/store/storetest"
)

// TestPacked: what was packed comes back, every field of it, and is found likewise.
func TestPacked(t *testing.T) {
	t.Parallel()
	var e chart.Entry
	v := reflect.ValueOf(&e).Elem()
	for i := range v.NumField() {
		switch f := v.Field(i); {
		case !f.CanSet():
		case f.Kind() == reflect.String:
			f.SetString(strings.Repeat("x\x00", i*40) + fmt.Sprint(i))
		case f.Kind() == reflect.Bool:
			f.SetBool(true)
			only := chart.Entry{}
			reflect.ValueOf(&only).Elem().Field(i).SetBool(true)
			if got := only.Pack().Entry(); !reflect.DeepEqual(got, only) {
				t.Errorf("Entry = %+v, want %+v", got, only)
			}
		default:
			f.Set(reflect.ValueOf([]string{"one", strings.Repeat("ü", 200)}))
		}
	}
	if got := e.Pack().Entry(); !reflect.DeepEqual(got, e) {
		t.Errorf("Entry = %+v, want %+v", got, e)
	}
	read := chart.NewEntry(res(t, `{"resourceType":"Patient","id":"a","identifier":[{"value":"SSN-9"}],"name":[{"family":"O'Brien"}],"telecom":[{"system":"phone","value":"555-9999"}],"deceasedDateTime":"2020"}`))
	if got := read.Pack().Entry(); !reflect.DeepEqual(got, read) {
		t.Errorf("Entry = %+v, want %+v", got, read)
	}
}

// packed are the patients of an invented practice.
func packed(t testing.TB, n int) (list []chart.Packed, size int) {
	p := storetest.Practice{Patients: n}
	for i := range n {
		line := string(bytes.TrimSpace(p.Append(nil, "Patient", i, -1)))
		e := chart.NewEntry(res(t, line))
		list = append(list, e.Pack())
		size += len(list[i])
	}
	return list, size
}

func BenchmarkFits(b *testing.B) {
	list, size := packed(b, 100_000)
	for _, query := range []string{"anna mill", "a", "1970", "1234", "555-012-3456", "obrien-sand 1970-02-01"} {
		b.Run(query, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				q := chart.ParseQuery(query)
				for _, p := range list {
					e := p.Entry()
					q.Fits(&e)
				}
			}
			b.ReportMetric(float64(size)/float64(len(list)), "bytes/patient")
		})
	}
}
