/** Images that are made here, of programs that are here. */
export const PAUSE_IMAGE = 'localhost/pause:1';
export const COREDNS_IMAGE = 'localhost/coredns:1';
export const DEMO_IMAGE = 'localhost/demo:1';
