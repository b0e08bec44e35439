import type { OutgoingMail } from "./mailer.ts";

/** A mail as nodemailer takes it, which encodes what stands in the head. */
export function messageOf({ to, subject, text, html }: OutgoingMail, from: string) {
  return {
    from,
    // As an object, so that the address is not read as a list of them.
    to: { name: "", address: to },
    subject,
    text,
    html,
    // RFC 3834: nobody's absence should be answered to us.
    headers: { "Auto-Submitted": "auto-generated" },
    disableFileAccess: true,
    disableUrlAccess: true,
  };
}
