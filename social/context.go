package social

import (
	"context"
	"slices"
)

// maxAncestors bounds the chain that Context follows. What lies between the nearest ones and the root is left out.
const maxAncestors = 100

// Context returns a message with the chain of what it answers, root first. A message that is not a comment answers
// nothing. The error is not_found.
func (m *Messages) Context(ctx context.Context, v Viewer, id MessageID) (Context, error) {
	msg, err := m.Get(ctx, v, id)
	if err != nil {
		return Context{}, err
	}
	out := Context{Ancestors: []*Embed{}, Message: msg}
	s := m.b.look(v)
	if err := s.load(ctx, id); err != nil {
		return Context{}, err
	}
	chain, err := s.climb(ctx, s.messages[id])
	if err != nil {
		return Context{}, err
	}
	if err := s.prepare(ctx); err != nil {
		return Context{}, err
	}
	for _, above := range chain {
		out.Ancestors = append(out.Ancestors, s.embed(above))
	}
	return out, nil
}

// climb brings what a comment answers into sight, up to its root, and returns it root first.
func (s *sight) climb(ctx context.Context, from *stored) ([]MessageID, error) {
	var chain []MessageID
	root := MessageID{}
	for m := from; m != nil && m.kind == KindComment && len(chain) < maxAncestors; m = s.messages[m.parent] {
		if err := s.load(ctx, m.parent, m.origin); err != nil {
			return nil, err
		}
		chain = append(chain, m.parent)
		root = m.origin
	}
	if n := len(chain); n > 0 && chain[n-1] != root {
		chain[n-1] = root
	}
	slices.Reverse(chain)
	return chain, nil
}
