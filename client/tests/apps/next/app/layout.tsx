import type { ReactNode } from 'react';
import { AuthProvider } from 'alviar-client/react';

export default function Layout({ children }: { children: ReactNode }) {
  return (
    <html lang="en">
      <body>
        <AuthProvider baseUrl="https://chat.example.org">{children}</AuthProvider>
      </body>
    </html>
  );
}
