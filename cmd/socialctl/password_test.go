//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terminal is a pseudo-terminal: the keyboard and screen of a person, and the
// end that the program has.
type terminal struct {
	person, program *os.File
}

func openTerminal(t *testing.T) terminal {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = person.Close(), program.Close() })
	return terminal{person, program}
}

// awaitEcho waits until the terminal shows what is typed, or does not.
func (term terminal) awaitEcho(t *testing.T, shown bool) {
	t.Helper()
	for begun := time.Now(); time.Since(begun) < awaitPatience; <-time.After(time.Millisecond) {
		state, err := unix.IoctlGetTermios(int(term.program.Fd()), unix.TCGETS)
		if err != nil {
			t.Fatal(err)
		}
		if (state.Lflag&unix.ECHO != 0) == shown {
			return
		}
	}
	t.Fatalf("the terminal's echo does not become %v", shown)
}

func TestPasswordIsNotShown(t *testing.T) {
	term := openTerminal(t)
	a := quietApp()
	a.stdin, a.isTerminal = term.program, isTerminal
	prompts := &lockedBuffer{}
	a.stderr = prompts
	type result struct {
		password string
		err      error
	}
	done := make(chan result, 1)
	go func() {
		password, err := a.askPassword(t.Context(), "ada")
		done <- result{password, err}
	}()
	for i, prompt := range []string{"New password for ada: ", "Once more: "} {
		prompts.await(t, prompt)
		term.awaitEcho(t, false)
		if _, err := term.person.WriteString("correct horse\n"); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			prompts.await(t, "\n")
		}
	}
	if got := <-done; got.err != nil || got.password != "correct horse" {
		t.Fatalf("read %q, %v", got.password, got.err)
	}
	term.awaitEcho(t, true)
	if _, err := term.program.WriteString("END"); err != nil {
		t.Fatal(err)
	}
	var screen []byte
	for piece := make([]byte, 100); !bytes.Contains(screen, []byte("END")); {
		n, err := term.person.Read(piece)
		if err != nil {
			t.Fatal(err)
		}
		screen = append(screen, piece[:n]...)
	}
	if strings.Contains(string(screen), "horse") {
		t.Errorf("the screen shows %q", screen)
	}
}

func TestSignalGivesTheTerminalBack(t *testing.T) {
	term := openTerminal(t)
	a := quietApp()
	a.stdin, a.isTerminal = term.program, isTerminal
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := a.askPassword(ctx, "ada")
		done <- err
	}()
	term.awaitEcho(t, false)
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) || exitCode(err) != exitStoppedEarly {
		t.Errorf("got %v", err)
	}
	term.awaitEcho(t, true)
}

// lockedBuffer is written and looked at by two goroutines.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) await(t *testing.T, part string) {
	t.Helper()
	for begun := time.Now(); time.Since(begun) < awaitPatience; <-time.After(time.Millisecond) {
		b.mu.Lock()
		found := strings.Contains(b.text.String(), part)
		b.mu.Unlock()
		if found {
			return
		}
	}
	t.Fatalf("%q is not written", part)
}
