package copies

import (
	"net"
	"sync"
	"testing"
)

// proxy is a process's way to a Redis server, which a test can disturb.
type proxy struct {
	listener net.Listener
	serving  sync.WaitGroup

	mu      sync.Mutex
	changed *sync.Cond
	target  string
	refuses bool     // closes connections at once
	held    [2]bool  // what is asked, what is answered: goes no further
	waiting [2]int   // so much of it waits
	open    []*relay // the connections
}

const (
	asked    = 0
	answered = 1
)

// relay is one connection through the proxy.
type relay struct {
	ends   [2]net.Conn // the client's, the server's
	closed bool
}

func startProxy(t testing.TB, target string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener, target: target}
	p.changed = sync.NewCond(&p.mu)
	p.serving.Go(p.accept)
	t.Cleanup(func() {
		_ = listener.Close()
		p.cut(true)
		p.serving.Wait()
	})
	return p
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		target, refuses := p.target, p.refuses
		p.mu.Unlock()
		if refuses {
			_ = client.Close()
			continue
		}
		server, err := net.Dial("tcp", target)
		if err != nil {
			_ = client.Close()
			continue
		}
		r := &relay{ends: [2]net.Conn{client, server}}
		p.mu.Lock()
		p.open = append(p.open, r)
		if p.refuses || p.target != target {
			p.end(r)
		}
		p.mu.Unlock()
		p.serving.Go(func() { p.carry(r, asked) })
		p.serving.Go(func() { p.carry(r, answered) })
	}
}

// carry takes what comes from one end to the other, unless it is held.
func (p *proxy) carry(r *relay, direction int) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := r.ends[direction].Read(buffer)
		p.mu.Lock()
		p.waiting[direction]++
		for p.held[direction] && !r.closed && err == nil {
			p.changed.Wait()
		}
		p.waiting[direction]--
		if err != nil {
			p.end(r)
		}
		closed := r.closed
		p.mu.Unlock()
		if closed {
			return
		}
		if _, err := r.ends[1-direction].Write(buffer[:n]); err != nil {
			p.mu.Lock()
			p.end(r)
			p.mu.Unlock()
			return
		}
	}
}

// end closes both ends. What was held of it is lost.
func (p *proxy) end(r *relay) {
	if r.closed {
		return
	}
	r.closed = true
	_, _ = r.ends[0].Close(), r.ends[1].Close()
	p.changed.Broadcast()
}

// drop breaks all connections.
func (p *proxy) drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.open {
		p.end(r)
	}
	p.open = nil
}

// cut makes the server unreachable, or reachable again.
func (p *proxy) cut(refuses bool) {
	p.mu.Lock()
	p.refuses = refuses
	p.mu.Unlock()
	if refuses {
		p.drop()
	}
}

// hold keeps what goes in a direction, or lets it go on.
func (p *proxy) hold(direction int, held bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held[direction] = held
	p.changed.Broadcast()
}

// holding reports whether something waits that goes in that direction.
func (p *proxy) holding(direction int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.held[direction] && p.waiting[direction] > 0
}

// lead takes what comes from now on to another server.
func (p *proxy) lead(target string) {
	p.mu.Lock()
	p.target = target
	p.mu.Unlock()
	p.drop()
}
