package gptserver

// The generated code is committed, since `go get` runs no generator. buf is in .venv of the repository (make env-dev).
//go:generate sh -c "cd ../.. && PATH=.venv/bin:$PATH buf generate --template clients/go/buf.gen.yaml"
