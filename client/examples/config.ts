/** The server of the examples: `make run` on this machine. A phone needs the machine's address instead. */
export const server = {
  baseUrl: 'http://127.0.0.1:8000',
  get socketUrl() {
    return `${this.baseUrl.replace(/^http/, 'ws')}/ws/chat/`;
  },
};
