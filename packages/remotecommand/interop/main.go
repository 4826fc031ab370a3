// A peer for the tests: what kubectl and crictl do, by the library that they use.
//
//	peer exec [-stdin] [-tty] [-protocol P] spdy|websocket URL
//	    stdin, stdout, stderr and exit code are those of the remote command
//	peer forward spdy|websocket URL PORT
//	    prints the local port; ends at the end of stdin
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"

	"k8s.io/apimachinery/pkg/util/httpstream"
	restclient "k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	utilexec "k8s.io/client-go/util/exec"
)

func main() {
	if err := run(os.Args[1], os.Args[2:]); err != nil {
		var exit utilexec.CodeExitError
		if errors.As(err, &exit) {
			os.Exit(exit.Code)
		}
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(255)
	}
}

func run(verb string, args []string) error {
	flags := flag.NewFlagSet(verb, flag.ExitOnError)
	stdin := flags.Bool("stdin", false, "")
	tty := flags.Bool("tty", false, "")
	protocol := flags.String("protocol", "", "")
	flags.Parse(args)
	if verb == "forward" {
		return forward(flags.Arg(0), flags.Arg(1), flags.Arg(2))
	}
	executor, err := executorFor(flags.Arg(0), flags.Arg(1), *protocol)
	if err != nil {
		return err
	}
	options := remotecommand.StreamOptions{Stdout: os.Stdout, Stderr: os.Stderr, Tty: *tty}
	if *stdin {
		options.Stdin = os.Stdin
	}
	if *tty {
		options.Stderr = nil
		options.TerminalSizeQueue = &sizes{{Width: 100, Height: 40}, {Width: 120, Height: 50}}
	}
	return executor.StreamWithContext(context.Background(), options)
}

func executorFor(transport, address, protocol string) (remotecommand.Executor, error) {
	config := &restclient.Config{}
	target, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	if transport == "websocket" {
		if protocol == "" {
			return remotecommand.NewWebSocketExecutor(config, "GET", address)
		}
		return remotecommand.NewWebSocketExecutorForProtocols(config, "GET", address, protocol)
	}
	if protocol == "" {
		return remotecommand.NewSPDYExecutor(config, "POST", target)
	}
	tripper, upgrader, err := spdy.RoundTripperFor(config)
	if err != nil {
		return nil, err
	}
	return remotecommand.NewSPDYExecutorForProtocols(tripper, upgrader, "POST", target, protocol)
}

func forward(transport, address, port string) error {
	config := &restclient.Config{}
	target, err := url.Parse(address)
	if err != nil {
		return err
	}
	var dialer httpstream.Dialer
	if transport == "websocket" {
		dialer, err = portforward.NewSPDYOverWebsocketDialer(target, config)
	} else {
		var tripper http.RoundTripper
		var upgrader spdy.Upgrader
		tripper, upgrader, err = spdy.RoundTripperFor(config)
		dialer = spdy.NewDialer(upgrader, &http.Client{Transport: tripper}, "POST", target)
	}
	if err != nil {
		return err
	}
	stop := make(chan struct{})
	ready := make(chan struct{})
	forwarder, err := portforward.NewOnAddresses(
		dialer, []string{"127.0.0.1"}, []string{"0:" + port}, stop, ready, io.Discard, os.Stderr,
	)
	if err != nil {
		return err
	}
	go func() {
		<-ready
		ports, _ := forwarder.GetPorts()
		fmt.Println(ports[0].Local)
		io.Copy(io.Discard, os.Stdin)
		close(stop)
	}()
	return forwarder.ForwardPorts()
}

type sizes []remotecommand.TerminalSize

func (s *sizes) Next() *remotecommand.TerminalSize {
	if len(*s) == 0 {
		return nil
	}
	next := (*s)[0]
	*s = (*s)[1:]
	return &next
}
