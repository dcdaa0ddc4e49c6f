package fakeemr

import (
	"fmt"
	"io"
	"net/http"
)

// cut sends the first n bytes of a body whose end is the connection's end.
func cut(w http.ResponseWriter, kind string, body io.Reader, n int64) {
	conn, buf, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	fmt.Fprintf(buf, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nConnection: close\r\n\r\n", kind)
	io.CopyN(buf, body, n) // a client that went away is no fault
	buf.Flush()
}

func (e *EMR) relink(line []byte, f *Faults, oracle bool) []byte { return line }
