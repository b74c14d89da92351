package inspector

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
)

// node is a value of a JSON text.
type node struct {
	// Key is the name in the object around it. Named reports whether there is one.
	Key   string
	Named bool
	// Kind is object, array, string, number or literal.
	Kind string
	// Text is the value, if it has no others in it.
	Text     string
	Children []*node
	// FoundKey and FoundText report where what was searched for is. Open reports whether
	// the values in this one are shown at once.
	FoundKey, FoundText, Open bool
}

// The bounds of what is shown of a body. The whole can be downloaded.
const (
	maxShown   = 2 << 20  // bytes
	maxString  = 16 << 10 // bytes of a string
	maxNodes   = 20_000
	maxDepth   = 100
	openLevels = 3   // that are open at first
	maxOpen    = 300 // values that are open at first in one: a browser takes seconds to lay out thousands
)

var errTooLarge = errors.New("too many values")

// parseTree reads a JSON text. If it ends early or is not valid, the tree has what came
// before, and whole is false.
func parseTree(text io.Reader) (root *node, whole bool) {
	p := &treeParser{decoder: json.NewDecoder(newShortener(text, maxString))}
	p.decoder.UseNumber()
	root = new(node)
	err := p.value(root, 0)
	if root.Kind == "" {
		return nil, false
	}
	return root, err == nil
}

type treeParser struct {
	decoder *json.Decoder
	nodes   int
}

func (p *treeParser) value(n *node, depth int) error {
	token, err := p.decoder.Token()
	if err != nil {
		return err
	}
	if p.nodes++; p.nodes > maxNodes || depth > maxDepth {
		return errTooLarge
	}
	n.Open = depth < openLevels
	switch value := token.(type) {
	case json.Delim:
		return p.children(n, depth, value)
	case string:
		n.Kind, n.Text = "string", value
	case json.Number:
		n.Kind, n.Text = "number", value.String()
	case bool:
		n.Kind, n.Text = "literal", "false"
		if value {
			n.Text = "true"
		}
	case nil:
		n.Kind, n.Text = "literal", "null"
	}
	return nil
}

// children reads the values of an object or array.
func (p *treeParser) children(n *node, depth int, begin json.Delim) error {
	n.Kind = "array"
	if begin == '{' {
		n.Kind = "object"
	}
	for p.decoder.More() {
		child := new(node)
		if n.Kind == "object" {
			key, err := p.decoder.Token()
			if err != nil {
				return err
			}
			child.Key, child.Named = key.(string)
		}
		err := p.value(child, depth+1)
		if child.Kind != "" {
			n.Children = append(n.Children, child)
		}
		n.Open = n.Open && len(n.Children) <= maxOpen
		if err != nil {
			return err
		}
	}
	_, err := p.decoder.Token()
	return err
}

// find marks the values whose key or text has a text in it, whatever the case, and opens
// what is around them. It returns how many there are.
func (n *node) find(text string) (count int) {
	text = strings.ToLower(text)
	n.FoundKey = strings.Contains(strings.ToLower(n.Key), text)
	n.FoundText = strings.Contains(strings.ToLower(n.Text), text)
	if n.FoundKey || n.FoundText {
		count = 1
	}
	for _, child := range n.Children {
		its := child.find(text)
		n.Open = n.Open || its > 0
		count += its
	}
	return count
}

// at returns the value at a path of keys. It is empty, and not nil, if there is none.
func (n *node) at(keys ...string) *node {
	for _, key := range keys {
		var next *node
		for _, child := range n.Children {
			if child.Named && child.Key == key {
				next = child
			}
		}
		if next == nil {
			return new(node)
		}
		n = next
	}
	return n
}

// text returns a string or number, and nothing of other values.
func (n *node) text() string {
	if n.Kind == "string" || n.Kind == "number" {
		return n.Text
	}
	return ""
}
