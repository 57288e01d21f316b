package copies

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// child is another process on the same data folder: the test's own program, run again for the same test.
type child struct {
	t       testing.TB
	process *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Scanner
}

const childFolder = "SOCIALCTL_TEST_CHILD_FOLDER"

// startServer starts a server process and returns without waiting for it.
func startServer(t *testing.T, folder string) *child {
	c := &child{t: t, process: exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")}
	c.process.Env = append(os.Environ(), childFolder+"="+folder)
	c.process.Stderr = os.Stderr
	out, err := c.process.StdoutPipe()
	if err == nil {
		c.out = bufio.NewScanner(out)
		c.in, err = c.process.StdinPipe()
	}
	if err == nil {
		err = c.process.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.kill)
	return c
}

// kill is kill -9.
func (c *child) kill() {
	_ = c.process.Process.Kill()
	_ = c.process.Wait()
}

// stop has the process end in good order.
func (c *child) stop() {
	_ = c.in.Close()
	for c.out.Scan() {
	}
	if err := c.process.Wait(); err != nil {
		c.t.Errorf("the server ended with %v", err)
	}
}

// childState is what a server says of itself.
type childState struct {
	Nonce string
	Owns  bool
	Away  bool
	Hit   string // the copy that the question found; empty: none
	Tag   string
}

// do has the server read the key, storing value where it has no copy, or invalidate it, and say how it is.
func (c *child) do(verb, key, value string) (s childState) {
	c.t.Helper()
	if _, err := fmt.Fprintln(c.in, verb, key, value); err != nil {
		c.t.Fatal(err)
	}
	for c.out.Scan() {
		if answer, ok := strings.CutPrefix(c.out.Text(), "> "); ok {
			if err := json.Unmarshal([]byte(answer), &s); err != nil {
				c.t.Fatal(err)
			}
			return s
		}
	}
	c.t.Fatalf("the server ended (%v)", c.out.Err())
	return s
}

// beServer is the other side, if this is the other process.
func beServer(t *testing.T) bool {
	folder := os.Getenv(childFolder)
	if folder == "" {
		return false
	}
	p := openProcess(t, folder, true)
	defer p.close(t)
	rows := NewStore[string](100)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var verb, value string
		var key int64
		if _, err := fmt.Sscan(in.Text(), &verb, &key, &value); err != nil {
			t.Fatal(err)
		}
		s := childState{Owns: p.owns(), Away: p.cache.link.ready() == nil}
		if conn := p.cache.link.current.Load(); conn != nil {
			s.Nonce = conn.nonce
		}
		switch verb {
		case "read":
			tg := p.cache.Tags(context.Background(), []Key{keyOf("a", key)})[0]
			s.Tag = tg.value
			var ok bool
			if s.Hit, ok = rows.Get(keyOf("a", key), tg); !ok {
				rows.Put(keyOf("a", key), tg, value)
			}
		case "invalidate":
			p.cache.Invalidate(context.Background(), keyOf("a", key))
		}
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("> " + string(text))
	}
	return true
}

// ready waits until the server uses an embedded Redis other than the one of that nonce.
func (c *child) ready(not string) (s childState) {
	c.t.Helper()
	soon(c.t, "the server has its Redis", func() bool {
		s = c.do("read", "1", "x")
		return s.Nonce != not && s.Tag != ""
	})
	return s
}
