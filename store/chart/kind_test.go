package chart_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"chartcellar/store/chart"
)

func TestKindOf(t *testing.T) {
	dicom := append(make([]byte, 128), "DICM"...)
	tests := []struct {
		name, label, bytes string
		want               chart.FileKind
		mislabelled        bool
	}{
		{"a PDF", "application/pdf", "%PDF-1.7\n", chart.PDF, false},
		{"a PDF behind other bytes", "application/pdf", "\x00\x01scan\n%PDF-1.4\n", chart.PDF, false},
		{"a PDF called a picture", "image/jpeg", "%PDF-1.7\n", chart.PDF, true},
		{"a picture called a PDF", "application/pdf", "\xff\xd8\xff\xe0", chart.JPEG, true},
		{"a JPEG under its old name", "image/jpg", "\xff\xd8\xff\xe0", chart.JPEG, false},
		{"PNG", "image/png", "\x89PNG\r\n\x1a\n", chart.PNG, false},
		{"GIF", "image/gif", "GIF89a", chart.GIF, false},
		{"TIFF, little end first", "image/tiff", "II*\x00", chart.TIFF, false},
		{"TIFF, big end first", "image/tiff", "MM\x00*", chart.TIFF, false},
		{"DICOM", "application/dicom", string(dicom), chart.DICOM, false},
		{"RTF called plain text", "text/plain", `{\rtf1 a}`, chart.RTF, true},
		{"C-CDA called XML", "text/xml; charset=utf-8", letter, chart.ClinicalDocument, false},
		{"C-CDA behind a long comment", "text/xml", "<!--" + strings.Repeat("*", 9000) + "-->" + letter, chart.ClinicalDocument, false},
		{"C-CDA without a label", "", letter, chart.ClinicalDocument, false},
		{"C-CDA in UTF-16", "text/xml", "\xff\xfe" + strings.Join(strings.Split("<ClinicalDocument>", ""), "\x00") + "\x00", chart.ClinicalDocument, false},
		{"a web page", "text/html", "<!DOCTYPE html><html>", chart.WebPage, false},
		{"a page that shows a drawing", "text/html", "<html><svg>", chart.WebPage, false},
		{"a page that names a clinical document", "text/html", "<html><body>A ClinicalDocument", chart.WebPage, false},
		{"a web page behind a byte order mark", "text/html", "\ufeff<html>", chart.WebPage, false},
		{"a piece of a page", "text/html", "<p>a", chart.WebPage, false},
		{"text called a page", "text/html", "just words", chart.PlainText, false},
		{"a page called text", "text/plain", "<html><script>", chart.WebPage, true},
		{"a page called a picture", "image/png", "<html><script>", chart.WebPage, true},
		{"a drawing", "image/svg+xml", `<?xml version="1.0"?><svg onload="x">`, chart.Drawing, false},
		{"a drawing called a PNG", "image/png", `<svg>`, chart.Drawing, true},
		{"other XML", "application/xml", "<?xml version='1.0'?><a>", chart.XML, false},
		{"words that begin with less-than", "text/plain", "<5 is low", chart.PlainText, false},
		{"plain text", "text/plain", "Grüße", chart.PlainText, false},
		{"plain text in an old charset", "text/plain", "Gr\xfc\xdfe", chart.PlainText, false},
		{"a letter that is cut by the prefix", "text/plain", strings.Repeat("a\x01", 600) + strings.Repeat("b", 16<<10-1201) + "ü", chart.PlainText, false},
		{"text without a label", "", "a", chart.PlainText, false},
		{"an office document", "application/vnd.openxmlformats-officedocument.wordprocessingml.document", "PK\x03\x04", chart.Archive, false},
		{"bytes called text", "text/plain", "\x00\x01\x02\xff\xfe\x80", chart.Other, true},
		{"bytes without a name", "application/octet-stream", "\x00\x01\x02\xff\xfe\x80", chart.Other, false},
		{"nothing", "application/pdf", "", chart.Empty, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := chart.KindOf(tt.label, []byte(tt.bytes))
			if got != tt.want {
				t.Errorf("KindOf = %s, want %s", got, tt.want)
			}
			if s := chart.Mislabelled(tt.label, got); (s != "") != tt.mislabelled {
				t.Errorf("Mislabelled = %q, want one: %v", s, tt.mislabelled)
			}
			if got.Words() == "" {
				t.Errorf("%s has no words", got)
			}
		})
	}
	if got, want := chart.Mislabelled("application/pdf", chart.JPEG), "The record calls this a PDF; by its bytes it is a JPEG picture, and it is treated as that."; got != want {
		t.Errorf("Mislabelled = %q, want %q", got, want)
	}
}

func TestTextOfRTF(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"letters of another code page", `{\rtf1\ansi\ansicpg1251 \'cf\'f0\'e8\'e2\'e5\'f2}`, "Привет"},
		{"a code page that we do not read", `{\rtf1\ansicpg932 a\'83\'65b}`, "a\ufffdeb"},
		{"a letter that is given as two", `{\rtf1 a\u-10179?\u-8704?b}`, "a😀b"},
		{"half a letter", `{\rtf1 a\u-10179?\u65?b}`, "a\ufffdAb"},
		{"a picture is no text", `{\rtf1 a{\pict\bin5 }}{{}}b}`, "ab"},
		{"an embedded object is no text", `{\rtf1 a{\object\objocx{\*\objdata 0105}}b}`, "ab"},
		{"groups that are never closed", `{\rtf1 {\b a`, "a"},
		{"too many closed", `{\rtf1 a}}}}b`, "ab"},
		{"control characters", "{\\rtf1 a\\u8238?\x1bb}", "a[U+202E]␛b"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, ok := chart.Text("application/rtf", []byte(tt.in)); !ok || got != tt.want {
				t.Errorf("Text = %q %v, want %q", got, ok, tt.want)
			}
		})
	}
	start := time.Now()
	deep := append([]byte(`{\rtf1 `), bytes.Repeat([]byte("{"), 1<<20)...)
	deep = append(deep, "words"...)
	deep = append(deep, bytes.Repeat([]byte("}"), 1<<20)...)
	if got, _ := chart.Text("text/rtf", append(deep, " end"...)); got != "words end" {
		t.Errorf("a million groups: %.100q", got)
	}
	if took := time.Since(start); took > time.Minute {
		t.Errorf("a million groups took %v", took)
	}
}
