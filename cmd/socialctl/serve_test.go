//go:build unix

package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"
)

// awaitLog waits for a match in a file that a process writes, and returns its
// first group.
func awaitLog(t *testing.T, file, pattern string) string {
	t.Helper()
	expression := regexp.MustCompile("(?m)" + pattern)
	var text []byte
	for begun := time.Now(); time.Since(begun) < awaitPatience; <-time.After(5 * time.Millisecond) {
		text, _ = os.ReadFile(file)
		if found := expression.FindSubmatch(text); found != nil {
			return string(found[len(found)-1])
		}
	}
	t.Fatalf("no match for %s in\n%s", pattern, text)
	return ""
}

// TestSecondSignalEndsAtOnce holds a request open, which the first signal waits
// for and the second does not.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	dir := t.TempDir()
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	serve := exec.Command("socialctl", "serve", "--addr", "127.0.0.1:0", "--metrics-addr", "")
	serve.Dir, serve.Stderr = dir, log
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- serve.Wait() }()
	defer func() { _ = serve.Process.Kill() }()
	addr := awaitLog(t, log.Name(), `msg=listening addr=(\S+)`)

	open, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = open.Close() }()
	// The server says 100 when it has begun to read a body that never comes.
	fmt.Fprintf(open, "POST /v1/accounts HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n")
	begun := make([]byte, 12)
	if _, err := open.Read(begun); err != nil || string(begun) != "HTTP/1.1 100" {
		t.Fatalf("the server answered %q, %v", begun, err)
	}
	if err := serve.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	awaitLog(t, log.Name(), `(stopping; a second signal ends at once)`)
	for refused := false; !refused; {
		other, err := net.Dial("tcp", addr)
		if refused = err != nil; !refused {
			_ = other.Close()
		}
	}
	select {
	case err := <-ended:
		t.Fatalf("the first signal ended it: %v", err)
	default:
	}
	if err := serve.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
			t.Errorf("the second signal ended it with %v", err)
		}
	case <-time.After(awaitPatience / 3):
		t.Error("the second signal did not end it")
	}
}
